"""Driver of a run, with its requests, keys and schedule. Nothing here imports Ray."""
