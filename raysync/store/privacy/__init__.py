"""Erasure, retention, pseudonym rotation and rescrubbing of stored rows."""
