"""Tests: the folder says what must be running."""
