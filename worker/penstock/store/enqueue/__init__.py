"""Enqueueing: by the application's own pools, by COPY, and on a connection of the caller."""
