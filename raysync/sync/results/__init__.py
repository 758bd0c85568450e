"""The public result of a job, and the figures of a run."""
