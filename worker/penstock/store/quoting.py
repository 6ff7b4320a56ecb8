"""Quotes names in SQL that a person runs."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
