"""Tests of penstock.runtime.observe."""
