"""The objects that a JobQueue owns: created, adopted and repaired."""
