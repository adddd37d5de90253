"""The view of a study while it runs: one record of its state, which a launch or the ledger fills, and its rendering."""
