"""Tests of penstock_operator.database."""
