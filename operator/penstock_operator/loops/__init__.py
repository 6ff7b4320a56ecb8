"""One loop for each database: the schedule of its samples, its JobQueues, and the declarations written to it."""
