"""Vendor fakes: real HTTP servers with state, for `scripts/dev` and the tests. Never packed into a Lambda."""
