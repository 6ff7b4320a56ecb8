"""A child process for each database address, so that a hostile server costs nobody but its own JobQueues."""
