"""Penstock: demand-driven background jobs on Postgres."""
