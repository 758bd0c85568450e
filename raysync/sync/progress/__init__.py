"""The state of a running job, folded from reports, and the metrics made of it."""
