"""Submission of runs as jobs of a Ray cluster, through Ray's Job Submission API."""

import raysync.actors  # noqa: F401 sets the variables that Ray reads at its import
