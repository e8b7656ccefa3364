"""Jobs of category commerce."""
