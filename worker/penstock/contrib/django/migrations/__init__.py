"""The one Django migration: it installs the schema `penstock`; `after_migrate` upgrades it."""
