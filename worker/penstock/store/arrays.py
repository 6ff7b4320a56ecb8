"""Columns of a batch as Postgres array literals: for numbers, joining text is faster than adapting a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def numbers(values: Iterable[float]) -> str:
    """`{1,2,3}` of integers or finite floats; safe because a number has no character to quote."""
    return "{" + ",".join(map(repr, values)) + "}"


def optional(values: Sequence[T]) -> list[T] | None:
    """The column, or None if it holds nothing but None: the function then takes its default for all."""
    return list(values) if any(value is not None for value in values) else None
