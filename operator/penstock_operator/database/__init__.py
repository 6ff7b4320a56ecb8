"""A child process for each database address: a hostile server affects only its own JobQueues."""
