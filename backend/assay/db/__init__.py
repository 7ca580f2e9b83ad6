"""The database: an embedded PostgreSQL, the connection pool, migrations and named queries."""
