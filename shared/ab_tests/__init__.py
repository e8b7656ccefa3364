"""What A/B tests share with the mail service: their built-in texts."""
