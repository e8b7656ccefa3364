"""One small client per vendor over one HTTP layer, and the tenants' credentials."""
