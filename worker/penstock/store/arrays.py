"""Columns of a batch as Postgres array literals: joining text costs a quarter of adapting a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from penstock.errors import RejectedByDatabase

T = TypeVar("T")


def numbers(values: Iterable[float]) -> str:
    """`{1,2,3}` of integers or finite floats; a number has no character that needs quoting."""
    return "{" + ",".join(map(repr, values)) + "}"


def optional(values: Sequence[T]) -> list[T] | None:
    """The column, or None if every element is None: the function then uses its default."""
    return list(values) if any(value is not None for value in values) else None


def sparse(values: Sequence[object]) -> str | None:
    """As `optional`, for the values of `column`."""
    return None if values.count(None) == len(values) else column(values)


def column(values: Iterable[object]) -> str:
    """`{1,NULL,true}` of numbers, booleans, times and strings.

    Raises:
        RejectedByDatabase: a value has another type.
    """
    return "{" + ",".join(["NULL" if one is None else _element(one) for one in values]) + "}"


def _element(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return int.__repr__(value)  # the number of an IntEnum
        case float():
            return float.__repr__(value)
        case str():
            return _quoted(value)
        case datetime():
            return _quoted(_instant(value))
    raise RejectedByDatabase(f"enqueue: a value must be a number, boolean, time or string, got {type(value).__name__}")


def _instant(value: datetime) -> str:
    """A time as ISO 8601 with its zone, which the server reads with every DateStyle."""
    with suppress(OverflowError):  # at the limits of the calendar
        value = value.astimezone(UTC)
    return datetime.isoformat(value)


def texts(values: Iterable[str | None]) -> str:
    """`{"a","b",NULL}`, for arrays of text and of JSON."""
    return "{" + ",".join(["NULL" if one is None else _quoted(one) for one in values]) + "}"


def document(values: Mapping[str, object]) -> str:
    """A JSON object with unescaped letters, because a database in SQL_ASCII or LATIN1 refuses escapes."""
    return json.dumps(dict(values), ensure_ascii=False)


def documents(values: Iterable[Mapping[str, object]]) -> str:
    """A JSON array of objects, as `document`."""
    return json.dumps([dict(one) for one in values], ensure_ascii=False)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
