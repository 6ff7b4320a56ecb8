"""Tests of one pod's loop that need no database."""
