"""Views of a run while it lasts, and of its end."""
