"""Jobs of category analytics."""
