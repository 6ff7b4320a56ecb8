"""What the stabilisation windows remember: the highest, or the lowest, replica count wanted of late.

A count is wanted from the decision that brought it until the next one, however long that is; so the last one counts as
wanted until now. Only marks that can still be the extreme are kept, so a window holds one mark per replica at most.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, le

from .values import Mark


def falling(marks: tuple[Mark, ...], now: float, replicas: int, window: float) -> tuple[Mark, ...]:
    """The marks with `replicas` wanted now; the first is the highest of the last `window` seconds."""
    return _with(marks, now, replicas, window, le)


def rising(marks: tuple[Mark, ...], now: float, replicas: int, window: float) -> tuple[Mark, ...]:
    """The marks with `replicas` wanted now; the first is the lowest of the last `window` seconds."""
    return _with(marks, now, replicas, window, ge)


def within(marks: tuple[Mark, ...], now: float, window: float) -> tuple[Mark, ...]:
    """The marks younger than `window` seconds."""
    return tuple(mark for mark in marks if mark.at > now - window)


def _with(
    marks: tuple[Mark, ...], now: float, replicas: int, window: float, outdone: Callable[[int, int], bool]
) -> tuple[Mark, ...]:
    until_now = tuple(Mark(now, mark.replicas) for mark in marks[-1:])
    kept: list[Mark] = []
    for mark in (*within((*marks, *until_now), now, window), Mark(now, replicas)):
        while kept and outdone(kept[-1].replicas, mark.replicas):
            kept.pop()
        kept.append(mark)
    return tuple(kept)
