"""A real PostgreSQL server as a child process: which programs, whose account, which directory."""
