"""The worker as a process of its own: start, signals, limits, executors, reports, exits."""
