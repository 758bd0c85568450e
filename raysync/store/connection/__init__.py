"""Connections to PostgreSQL, locks that are rows, and the audit log."""
