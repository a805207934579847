"""A provider to test against: a real HTTP server with its own ledger, which is the bill ours must equal."""
