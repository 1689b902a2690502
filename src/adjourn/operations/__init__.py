"""What each operation type of a job does: one module per type, found through `OPERATIONS`."""
