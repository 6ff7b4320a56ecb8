"""The API server: requests, watches, the cache that they fill, and the election of a leader."""
