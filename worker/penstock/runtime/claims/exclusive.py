"""Exclusive attempts end with the lease: somebody else may run their jobs then.

Owns one timer, which runs only where an App has exclusive tasks. What it stops is given back, not failed. Surprising:
it acts a little before the lease ends, on the monotonic clock from before the renewal was sent, so that an attempt has
time to end; and a child process ends by itself at the end of the lease, for this process may be frozen then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from penstock.app.task import TaskRegistry
from penstock.job import ClaimedJob, Finished, OutcomeState

from ..execution.slots import Slots
from ..observe.logs import fields
from .lease import Lease

logger = logging.getLogger("penstock.exclusive")

Run = Callable[[ClaimedJob], Awaitable[Finished]]

MARGIN_SECONDS: Final = 0.5
"""Time to end, at most; a tenth of a short lease."""
AGAIN_SECONDS: Final = 0.1
"""Until the next look while there is no lease."""


class Exclusive:
    """Stops the attempts of exclusive tasks.

    Args:
        tasks: of the App.
        lease: of this worker.
        slots: where the attempts run.
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
        """Begin, and go on until `close`."""
        if self._names:
            left = self._left()
            if left <= 0:
                self._slots.lose(lambda job: job.task in self._names)
            self._timer = asyncio.get_running_loop().call_later(max(left, AGAIN_SECONDS), self.watch)

    def guarding(self, run: Run) -> Run:
        """Around the run of attempts: one that was claimed in time and starts too late is put off, not run."""
        return self._guarded(run) if self._names else run

    def _guarded(self, run: Run) -> Run:
        async def guarded(job: ClaimedJob) -> Finished:
            if job.task in self._names and self._left() <= 0:
                logger.warning("exclusive job not started, lease not renewed in time", extra=fields(job))
                return Finished(job=job, state=OutcomeState.SNOOZE, reason="lease_lost")
            return await run(job)

        return guarded

    def _left(self) -> float:
        """Seconds until exclusive attempts are to end."""
        return self._lease.until - self._margin - self._clock()

    def fenced(self, claims: Collection[tuple[int, int]]) -> None:
        """These (id, token) are no longer ours."""
        if self._names:
            self._slots.lose(lambda job: job.task in self._names and (job.id, job.token) in claims)

    def close(self) -> None:
        """No more looks."""
        if self._timer is not None:
            self._timer.cancel()
