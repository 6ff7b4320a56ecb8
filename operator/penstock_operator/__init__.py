"""The Penstock operator: observes queues, decides replica counts, applies them, and says why."""
