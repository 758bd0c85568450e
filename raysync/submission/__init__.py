"""Runs as jobs of a Ray cluster, through its Job Submission API."""

import raysync.actors  # noqa: F401 sets the variables that Ray reads when it is imported
