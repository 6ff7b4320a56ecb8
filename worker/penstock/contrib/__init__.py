"""Integrations with frameworks, each with an extra of its own; nothing else in Penstock imports them."""
