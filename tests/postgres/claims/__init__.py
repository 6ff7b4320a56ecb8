"""Claims: which jobs, for whom, under which limits and pauses, and how a worker waits for them."""
