"""The schema: migrations, roles and rights, and the check of the installed schema for drift."""
