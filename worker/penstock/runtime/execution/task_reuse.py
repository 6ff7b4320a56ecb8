"""Runs jobs that never await one after the other in one asyncio task: creating a task costs more than they do.

Before each attempt the task that would run the following jobs, the follower, is already scheduled. If the attempt
awaits, the follower starts, and this task stops after that attempt: what awaits has a task of its own, and what is kept
by task (timeouts, sessions, cancellation) never meets another job. That the follower started is the only sign that an
attempt awaited. A task also stops after a job that left something in its context.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

from penstock.job import ClaimedJob

from ..observe.logs import running

MAX_JOBS_PER_TASK = 100
"""Attempts in one task: other tasks need the event loop."""


class TaskReuser:
    """Runs attempts in shared tasks, with at most one follower at a time.

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
        """Schedule the follower, if there is none; returns it."""
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._run(), name="attempts")
        return self._follower

    def cancel(self) -> None:
        """Cancel the follower."""
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
            if follower is None or self._has_started(follower) or me.cancelling() or not _same(clean):
                return

    def _has_started(self, follower: asyncio.Task[None]) -> bool:
        return follower is not self._follower


def _same(clean: contextvars.Context) -> bool:
    """Return True if the context has the values that it had."""
    try:
        return contextvars.copy_context() == clean
    except Exception:  # noqa: BLE001 - comparing values of the application may raise anything
        return False
