"""The database server: the embedded one, migrations, roles and health."""
