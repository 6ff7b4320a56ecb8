"""Outcomes that a task may return, or raise from any depth, for its own attempt.

    return Retry(delay=30)        run again in 30 s; counts as an attempt
    raise Snooze(delay=300)       not now; the attempt is not counted
    raise Cancel("user is gone")  never again; the job ends as cancelled

They derive from Exception to travel through library code; a bare
`except Exception` in a task stops them, as it stops any exception.
"""

from __future__ import annotations

import math
from datetime import timedelta


def checked_seconds(value: float | timedelta, *, of: str) -> float:
    """Seconds of a delay, finite and from 0 to ten years.

    Args:
        value: seconds, or a timedelta.
        of: what the delay belongs to, for the error.

    Raises:
        ValueError: not a number, negative, infinite or above ten years.
    """
    given: object = value  # of any type: what is written in an option is not checked by a type checker alone
    number = math.nan
    if isinstance(given, timedelta):
        number = given.total_seconds()
    elif isinstance(given, int | float) and not isinstance(given, bool):
        number = float(given)
    if not math.isfinite(number) or not 0 <= number <= MAX_DELAY:
        msg = f"{of}: delay must be from 0 to {MAX_DELAY} seconds, got {value!r}"
        raise ValueError(msg)
    return number


MAX_DELAY = 10 * 366 * 86400
"""Longest delay in seconds, ten years: beyond it a typing error is likelier than a plan."""


class TaskOutcome(Exception):  # noqa: N818 - an outcome, not an error
    """Root of the outcomes that a task may return or raise."""


class Retry(TaskOutcome):
    """Run again; the attempt counts.

    Args:
        delay: seconds or a timedelta; None means the task's back-off.
        reason: kept in the attempt history.
    """

    def __init__(self, delay: float | timedelta | None = None, reason: str | None = None) -> None:
        super().__init__(reason or "retry asked for by the task")
        self.delay = None if delay is None else checked_seconds(delay, of="Retry")
        self.reason = reason


class Snooze(TaskOutcome):
    """Not now: run again after `delay` (seconds or a timedelta); the attempt is not counted."""

    def __init__(self, delay: float | timedelta, reason: str | None = None) -> None:
        super().__init__(reason or "snoozed by the task")
        self.delay = checked_seconds(delay, of="Snooze")
        self.reason = reason


class Cancel(TaskOutcome):
    """Never again: the job ends as cancelled, with `reason` in its outcome."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
