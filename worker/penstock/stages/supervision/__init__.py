"""Stages that keep other stages, or one task for each event, alive."""
