"""One loop for each database: when it is sampled, which JobQueues it serves, and what is written into it."""
