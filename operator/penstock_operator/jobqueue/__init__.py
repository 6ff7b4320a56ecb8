"""One JobQueue: observe, decide, apply and report."""
