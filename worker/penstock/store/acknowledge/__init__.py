"""Acknowledgements and releases of claims, and the claims that cannot be acknowledged."""
