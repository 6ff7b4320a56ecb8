"""Attempts: which jobs are asked for, where they run, for how long, and the outcomes that they end in."""
