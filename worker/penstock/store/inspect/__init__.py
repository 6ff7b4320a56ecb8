"""Reads for people and metrics: queues, jobs, failures and the state of the server. Decides nothing."""
