"""Tests of penstock.stages.pipeline."""
