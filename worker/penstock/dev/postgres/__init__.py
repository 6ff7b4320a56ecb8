"""A real PostgreSQL server as a child process: its programs, its account, its directory."""
