"""Tests: faults at random over real workers and a server of their own; what was committed must come out right."""
