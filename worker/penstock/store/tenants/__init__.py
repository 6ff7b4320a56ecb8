"""Database URLs of tenants: which hosts and which parameters a process that serves several may use."""
