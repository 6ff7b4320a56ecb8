"""Tests of penstock.store that need no server."""
