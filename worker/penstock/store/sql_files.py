"""Reads the `.sql` files of the package: statements, functions, migrations.

A statement file contains one statement with a header comment. Statements are bytes, which psycopg accepts as they are.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import NamedTuple


class SqlFile(NamedTuple):
    """A file: its name without the suffix, and its text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@functools.cache
def statement(name: str) -> bytes:
    """The statement `sql/NAME.sql`, without its header comment, which would otherwise be sent with every call."""
    text = (resources.files(__package__) / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip().encode()


def retired() -> str:
    """The statements that drop functions of earlier releases, `retired.sql`; idempotent."""
    return (resources.files(__package__) / "retired.sql").read_text(encoding="utf-8")


def files(folder: str) -> list[SqlFile]:
    """All files of `functions` or `migrations`, by name."""
    found = [f for f in (resources.files(__package__) / folder).iterdir() if f.name.endswith(".sql")]
    return [
        SqlFile(f.name.removesuffix(".sql"), f.read_text(encoding="utf-8")) for f in sorted(found, key=lambda f: f.name)
    ]
