"""What the runs of the ledger cost: prices (one dated file), usage read from the ledger, and the sum."""
