"""Tests of penstock.database."""
