"""Tests of penstock.runtime.execution."""
