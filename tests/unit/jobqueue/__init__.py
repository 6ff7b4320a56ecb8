"""Tests of penstock.jobqueue."""
