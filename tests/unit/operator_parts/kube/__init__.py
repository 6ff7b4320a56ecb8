"""Tests of penstock_operator.kube."""
