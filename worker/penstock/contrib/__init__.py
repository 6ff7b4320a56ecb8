"""Integrations with frameworks, each behind an extra of its own; nothing else in Penstock imports them."""
