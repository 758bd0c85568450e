"""Frozen values that every layer shares: ids, entities, statuses, events and results."""
