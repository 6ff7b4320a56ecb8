"""A real node on this machine, and ways to use any cluster: the harness of `tests/cluster` and `make cluster`."""
