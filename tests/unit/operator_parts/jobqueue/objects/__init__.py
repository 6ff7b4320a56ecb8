"""Tests of penstock_operator.jobqueue.objects."""
