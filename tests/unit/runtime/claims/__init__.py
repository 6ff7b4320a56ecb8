"""Tests of penstock.runtime.claims."""
