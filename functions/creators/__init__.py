"""Jobs of category creators."""
