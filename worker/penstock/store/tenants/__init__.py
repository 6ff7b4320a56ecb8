"""Database URLs of tenants: the hosts and parameters that a process that serves several tenants accepts."""
