"""The tenant's copy of Shopify's catalogue and customers: how vendor objects are mapped, guarded, stored and judged."""
