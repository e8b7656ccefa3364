"""What the jobs do: one package per category, one module per subject, and the Lambda entries."""
