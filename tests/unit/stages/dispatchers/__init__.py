"""Tests of penstock.stages.dispatchers."""
