"""No models: Django sends `post_migrate`, which upgrades the schema, only to apps that have this module."""
