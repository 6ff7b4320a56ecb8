"""Tests of penstock_operator.loops."""
