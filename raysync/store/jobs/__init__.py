"""Sync jobs and schedules: their records, their leases, and their history."""
