"""The order of what is compared: in every run each has one turn, and none is always first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def turns(compared: Sequence[T], runs: int) -> Iterator[list[T]]:
    """For each run the order of its turns: rotated by one from run to run."""
    for number in range(runs):
        first = number % len(compared)
        yield [*compared[first:], *compared[:first]]
