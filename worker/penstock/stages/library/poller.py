"""A producer for sources that must be polled, such as a table: it remembers unmet demand.

It owns the unmet demand, one fetch at a time and one timer. It must not fetch more than it owes, nor forget what it
owes when a fetch brings less, nothing, or an error. A fetch in flight when the stage stops is waited for, and what it
brings is released, because a fetch may have claimed rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import random as uniform
from typing import Any, Generic, TypeVar

from ..core.base import Producer
from ..errors import BadOption
from ..exponential_backoff import ExponentialBackoff
from ..reasons import Dropped
from ..timeouts import STOP_SECONDS

logger = logging.getLogger("penstock.stages")

Out = TypeVar("Out")


class Poller(Producer[Out], Generic[Out]):
    """Calls `fetch(limit)` while it owes events.

    Args:
        fetch: async; returns at most `limit` events, also none.
        interval: seconds between fetches that bring less than their limit; default 1. A full fetch is repeated at once.
        max_limit: upper bound of the limit; default: all that is owed.
        backoff: delays after errors of `fetch`; default 100 ms doubling to 10 s.
        random: numbers in [0, 1) for the jitter of the backoff.
        options: those of `Producer`.

    Raises BadOption.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Sequence[Out]]],
        *,
        interval: float = 1.0,
        max_limit: int | None = None,
        backoff: ExponentialBackoff | None = None,
        random: Callable[[], float] = uniform,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not callable(fetch):
            raise BadOption.of(self, "fetch", "an async function of a limit", fetch)
        if interval <= 0:
            raise BadOption.of(self, "interval", "more than 0 seconds", interval)
        if max_limit is not None and max_limit < 1:
            raise BadOption.of(self, "max_limit", "None or at least 1", max_limit)
        self.pending = 0
        """Events asked for and not emitted yet."""
        self.fetching = True
        self._fetch = fetch
        self._interval = interval
        self._max_limit = max_limit
        self._backoff = backoff or ExponentialBackoff()
        self._random = random
        self._errors = 0
        self._poll: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be events now: fetch without waiting for the timer, if anything is owed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.pending and self.fetching and (self._poll is None or self._poll.done()):
            self._poll = asyncio.create_task(self._fetch_all(), name=f"fetch {self.name}")

    def prepare_for_draining(self) -> None:
        """Fetch nothing from now on; what is owed stays owed."""
        self.fetching = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def handle_demand(self, demand: int) -> list[Out]:
        """Owe more."""
        self.pending += demand
        if self._timer is None:
            self.wake()
        return []

    async def on_stop(self, reason: object) -> None:
        """Wait for the fetch in flight, at most 30 s; then it is cancelled."""
        del reason
        self.prepare_for_draining()
        if self._poll is not None and not self._poll.done():
            await asyncio.wait([self._poll], timeout=STOP_SECONDS)

    def on_end(self, reason: object) -> None:
        """Leave no timer and no task running."""
        del reason
        if self._timer is not None:
            self._timer.cancel()
        if self._poll is not None:
            self._poll.cancel()

    async def _fetch_all(self) -> None:
        """Fetch until nothing is owed, or a fetch brings less than its limit; then set the one timer."""
        while self.pending and self.fetching:
            limit = self.pending if self._max_limit is None else min(self.pending, self._max_limit)
            try:
                events = await self._fetch(limit)
                self._errors = 0
            except Exception:
                self._errors += 1
                logger.exception("%r: fetch failed; retrying (owed=%d)", self, self.pending)
                self._later(self._backoff.delay(self._errors, self._random))
                return
            if len(events) > limit:
                logger.error("%r: fetch returned more than its limit (fetched=%d, limit=%d)", self, len(events), limit)
                self._stage_outlet.release(events[limit:], Dropped.OVERFLOW)
                events = events[:limit]
            self.pending -= len(events)
            self.push(events)
            if len(events) < limit:
                self._later(self._interval)
                return

    def _later(self, delay: float) -> None:
        if self.fetching:
            self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self.wake()
