"""Drains of other job queues, run by an interpreter that has them; see _worker_peers.py."""
