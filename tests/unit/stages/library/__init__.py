"""Tests of penstock.stages.library."""
