"""Names in SQL that a person is to run."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'
