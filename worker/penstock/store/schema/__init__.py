"""The schema: migrations, roles and rights, and whether what is installed is what was made."""
