"""The only SQL: PostgreSQL by SQLAlchemy Core and psycopg.

Every method is short, holds no transaction across anything but SQL, and raises only the errors of
`raysync.errors`. The clock of leases and heartbeats is the database's own.
"""
