"""What a worker shows of itself: metrics, probes, log lines and forensics."""
