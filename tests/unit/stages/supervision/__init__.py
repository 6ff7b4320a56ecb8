"""Tests of penstock.stages.supervision."""
