"""What surrounds an attempt, only where it is used: circuit breakers, spans and hooks."""
