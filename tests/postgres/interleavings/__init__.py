"""Statements against one another, step by step: every pair, every repeat, every locked row."""
