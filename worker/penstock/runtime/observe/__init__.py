"""Observability of a worker: metrics, probes, log lines and forensics."""
