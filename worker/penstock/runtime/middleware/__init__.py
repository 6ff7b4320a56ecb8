"""Middleware around an attempt, applied only where it is used: circuit breakers, spans and hooks."""
