"""The worker pods of one JobQueue: their roles, their history, and how they exited."""
