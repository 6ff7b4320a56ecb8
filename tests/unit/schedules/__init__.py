"""Schedules: their rules, their ticks, and daylight saving time."""
