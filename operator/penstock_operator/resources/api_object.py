"""Reads parts of API objects; tolerates missing fields and wrong types. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any


def epoch(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0.0 for none or nonsense."""
    try:
        return dt.datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return 0.0


def part(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The value at that path if it is an object, else an empty one."""
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
