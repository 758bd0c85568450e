"""Views of a running job, and of its result."""
