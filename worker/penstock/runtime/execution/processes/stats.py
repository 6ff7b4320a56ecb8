"""Counts of a worker's child processes, for its metrics: started, alive, and exited, by reason.

Written by the event loop alone; the thread of a scrape reads number by number. Each child that was started is counted
as exited exactly once, those that never became ready included: what is neither alive nor exited is starting.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import Final

EXIT_REASONS: Final = (
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
"""Why a child process exited: crash or invalid frame with its job; killed with its job (three reasons); exclusive and
the lease expired; replaced (two reasons); it did not start; it ran nothing; its worker exits."""


class ProcessStats:
    """Counts since the start of the worker."""

    __slots__ = ("alive", "exits", "started")

    def __init__(self) -> None:
        self.started = self.alive = 0
        self.exits: Counter[str] = Counter(dict.fromkeys(EXIT_REASONS, 0))

    def up(self) -> None:
        """A child process became ready."""
        self.alive += 1

    def down(self, why: str) -> None:
        """A child process that was ready exited."""
        self.alive -= 1
        self.exits[why] += 1


def exit_reason(*, leaving: str | None, killed: str | None, busy: bool, late: bool) -> str:
    """One of EXIT_REASONS, for a child process that was ready.

    Args:
        leaving: why it was asked to exit, if it was.
        killed: why it was killed, if it was; `pipe` for an invalid frame or a closed pipe.
        busy: it ran a job.
        late: that job was exclusive, and the lease expired.
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
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    more = ", which the kernel sends when memory runs out" if -code == signal.SIGKILL else ""
    return f"killed by signal {-code} ({name}){more}"
