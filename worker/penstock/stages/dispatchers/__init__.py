"""Dispatchers, pure: who gets which event."""
