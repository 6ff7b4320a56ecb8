"""Tests of penstock.stages.core."""
