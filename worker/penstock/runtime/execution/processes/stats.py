"""Counts of a worker's child processes, for its metrics: started, come up, and ended, by why.

Written by the event loop alone and read by the thread of a scrape, number by number. Surprising: each child that was
started ends exactly once here, those that never came up too, so that what is neither up nor ended is starting.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import Final

END_REASONS: Final = (
    "crash",
    "hard_timeout",
    "cancelled",
    "released",
    "lease_lost",
    "max_jobs",
    "memory",
    "start",
    "idle",
    "closing",
)
"""Why a child ended: by itself or for what it wrote, with its job; killed with its job (three reasons); exclusive, at
the end of the lease; replaced (two reasons); it did not come up; it ended while it ran nothing; its worker leaves."""


class ProcessStats:
    """Since the start of the worker."""

    __slots__ = ("alive", "ended", "started")

    def __init__(self) -> None:
        self.started = self.alive = 0
        self.ended: Counter[str] = Counter(dict.fromkeys(END_REASONS, 0))

    def up(self) -> None:
        """A child has come up."""
        self.alive += 1

    def down(self, why: str) -> None:
        """A child that had come up has ended."""
        self.alive -= 1
        self.ended[why] += 1


def end_reason(*, leaving: str | None, killed: str | None, busy: bool, late: bool) -> str:
    """A word of END_REASONS for a child that had come up.

    Args:
        leaving: why it was told to leave, if it was.
        killed: why it was killed, if it was; `pipe` for what it wrote, or did not.
        busy: it ran a job.
        late: that job was exclusive, and the lease is over.
    """
    if leaving is not None:
        return leaving
    if killed is not None and killed != "pipe":
        return killed
    if not busy:
        return "idle"
    return "lease_lost" if late else "crash"


def describe_exit(code: int) -> str:
    """An exit code, or minus the number of a signal, as a sentence."""
    if code >= 0:
        return f"it left with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    more = ", which the kernel sends when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was ended by signal {-code} ({name}){more}"
