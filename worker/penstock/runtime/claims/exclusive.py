"""Cancels attempts of exclusive tasks before the lease expires, because another worker may run their jobs then.

Owns one timer, which runs only if an App has exclusive tasks. What it cancels is released, not failed. It acts a little
before the lease expires, on the monotonic clock from before the renewal was sent, which gives an attempt time to stop;
a child process stops itself when the lease expires, because this process may be frozen then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from penstock.app.task import TaskRegistry
from penstock.job import ClaimedJob, Finished, OutcomeState, RunAttempt

from ..execution.slots import Slots
from ..observe.logs import fields
from .lease import Lease

logger = logging.getLogger("penstock.exclusive")

MARGIN_SECONDS: Final = 0.5
"""Time that an attempt has to stop; at most a tenth of the lease."""
CHECK_SECONDS: Final = 0.1
"""Interval of checks while there is no lease."""


class Exclusive:
    """Cancels attempts of exclusive tasks in time.

    Args:
        tasks: of the App.
        lease: of this worker.
        slots: run the attempts.
    """

    def __init__(
        self, *, tasks: TaskRegistry, lease: Lease, slots: Slots, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = frozenset(
            name for task in tasks.values() if task.exclusive for name in (task.name, *task.aliases)
        )
        self._lease, self._slots, self._clock = lease, slots, clock
        self._margin = min(MARGIN_SECONDS, lease.seconds / 10)
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Start, until `close`."""
        if self._names:
            left = self._left()
            if left <= 0:
                self._slots.lose(lambda job: job.task in self._names)
            self._timer = asyncio.get_running_loop().call_later(max(left, CHECK_SECONDS), self.watch)

    def guarding(self, run: RunAttempt) -> RunAttempt:
        """Middleware for attempts: one that was claimed in time and starts too late is snoozed."""
        return self._guarded(run) if self._names else run

    def _guarded(self, run: RunAttempt) -> RunAttempt:
        async def guarded(job: ClaimedJob) -> Finished:
            if job.task in self._names and self._left() <= 0:
                logger.warning("exclusive job not started, lease not renewed in time", extra=fields(job))
                return Finished(job=job, state=OutcomeState.SNOOZE, reason="lease_lost")
            return await run(job)

        return guarded

    def _left(self) -> float:
        """Seconds until exclusive attempts must stop."""
        return self._lease.until - self._margin - self._clock()

    def fenced(self, claims: Collection[tuple[int, int]]) -> None:
        """These claims, (id, token), were lost."""
        if self._names:
            self._slots.lose(lambda job: job.task in self._names and (job.id, job.token) in claims)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
