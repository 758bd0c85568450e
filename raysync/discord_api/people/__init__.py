"""Pseudonyms in place of people: default-deny scrubbing of what Discord sends."""
