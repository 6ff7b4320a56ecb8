"""Tests of penstock.runtime.middleware."""
