"""Enqueueing: what is written, in whose transaction, through which library, and what is refused."""
