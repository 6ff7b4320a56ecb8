"""From a manifest and a look at a queue to a decision."""
