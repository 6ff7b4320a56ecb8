"""Connections: TLS, passwords, PgBouncer, stale sockets, event loops, and the settings that a database has."""
