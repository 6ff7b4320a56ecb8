"""Tests of penstock.runtime.execution.processes."""
