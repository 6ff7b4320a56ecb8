"""The JobQueue as an API: its fields, defaults and rules, and what they mean for a worker. Reads no database."""
