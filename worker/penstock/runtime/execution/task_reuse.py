"""Runs jobs that wait for nothing one behind the other in one asyncio task: making a task costs more than they do.

Before each attempt the task that would go on in its stead, the follower, is on the event loop's queue already. If the
attempt waits, the follower begins, and the task ends with that attempt: whatever waits has a task of its own, so that
what is kept by task (timeouts, sessions, cancellation) never meets another job. A task ends as well behind a job that
left something in its context. Surprising: nobody tells whether an attempt waited; that the follower began is the sign.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

from penstock.job import ClaimedJob

from ..observe.logs import running

MAX_JOBS_PER_TASK = 100
"""Attempts in one task: the event loop is needed by others."""


class TaskReuser:
    """At most one follower at a time.

    Args:
        take: the next job to run in the task given, now counted as running; None if there is none or no slot.
        waiting: whether `take` may have another one.
        attempt: runs it and accounts for it.
    """

    def __init__(
        self,
        *,
        take: Callable[[asyncio.Task[None]], ClaimedJob | None],
        waiting: Callable[[], object],
        attempt: Callable[[ClaimedJob], Awaitable[None]],
    ) -> None:
        self._take, self._waiting, self._attempt = take, waiting, attempt
        self._follower: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Have somebody look for jobs, soon; the task that will."""
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._run(), name="attempts")
        return self._follower

    def cancel(self) -> None:
        """Nobody is to begin any more."""
        if self._follower is not None:
            self._follower.cancel()
            self._follower = None

    async def _run(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._follower = None
        running.set(None)
        clean = contextvars.copy_context()
        for _ in range(MAX_JOBS_PER_TASK):
            job = self._take(me)
            if job is None:
                return
            follower = self.start() if self._waiting() else None
            await self._attempt(job)
            running.set(None)
            if follower is None or self._began(follower) or me.cancelling() or not _same(clean):
                return

    def _began(self, follower: asyncio.Task[None]) -> bool:
        return follower is not self._follower


def _same(clean: contextvars.Context) -> bool:
    """Whether the context holds what it held."""
    try:
        return contextvars.copy_context() == clean
    except Exception:  # noqa: BLE001 - values of others are compared, which may raise anything
        return False
