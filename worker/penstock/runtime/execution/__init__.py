"""Attempts: how many jobs to ask for, where they run, for how long, and their outcomes."""
