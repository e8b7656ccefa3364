"""Jobs of category scheduled."""
