"""The worker pods of one JobQueue: what they are, what was seen of them, and how they ended."""
