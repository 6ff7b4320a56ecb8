"""From a manifest and a sample of a queue to a decision."""
