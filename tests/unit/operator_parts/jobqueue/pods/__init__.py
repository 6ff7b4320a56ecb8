"""Tests of penstock_operator.jobqueue.pods."""
