"""Who may be written to: consent as the vendors tell it, and as our own pages take it."""
