"""The operator's pure parts: manifests, drain plan, conditions, status, views."""
