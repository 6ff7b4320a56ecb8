"""Connections of an application's process, for sync callers and for event loops."""
