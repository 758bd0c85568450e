"""Commands that begin, continue, end or verify a run, here or on a cluster."""
