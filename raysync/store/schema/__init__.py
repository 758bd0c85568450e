"""Tables, by SQLAlchemy Core. `migrations/` builds the same, which a test compares."""
