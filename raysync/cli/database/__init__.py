"""Commands of the database: its schema, its roles, the embedded server."""
