"""Tests of penstock_operator.resources."""
