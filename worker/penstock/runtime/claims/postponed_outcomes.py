"""Outcomes that are not stored yet because other transactions lock the rows of their jobs.

They are retried with backoff until the database has answered for each; none is dropped. The backpressure of the
consumers bounds them: they count as unacknowledged, and two batches of those stop new attempts. They are logged when
they are postponed, and once a minute while any are left.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from operator import attrgetter

from penstock.errors import StoreError
from penstock.job import Finished

from ..retry_delay import retry_delay

logger = logging.getLogger("penstock.acknowledger")

REMIND_SECONDS = 60.0
NAMED = 5
"""Job ids in a log line."""

worker_of = attrgetter("job.worker")


class Postponed:
    """The postponed outcomes of one acknowledger.

    Args:
        send: stores outcomes of one worker, idempotently; returns those whose rows are still locked.
        stored: called with the number of outcomes that were answered.
        rng: for jitter.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        send: Callable[[int, list[Finished]], Awaitable[list[Finished]]],
        stored: Callable[[int], None],
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send, self._stored, self._rng, self._clock = send, stored, rng, clock
        self._outcomes: list[Finished] = []
        self._added = asyncio.Event()
        self._logged_at = 0.0

    def __len__(self) -> int:
        return len(self._outcomes)

    def add(self, outcomes: Sequence[Finished]) -> None:
        """Keep outcomes and retry them."""
        if outcomes:
            self._outcomes.extend(outcomes)
            self._log()
            self._added.set()

    def _log(self) -> None:
        self._logged_at = self._clock()
        jobs = ",".join(str(outcome.job.id) for outcome in self._outcomes[:NAMED])
        extra = {"outcomes": len(self._outcomes), "first_jobs": jobs, "see": "penstock jobs why ID"}
        logger.warning("outcomes not stored yet, other transactions lock their jobs' rows; retrying", extra=extra)

    async def run(self) -> None:
        """Retry until cancelled."""
        failures = 0
        while True:
            if not self._outcomes:
                failures = 0
                self._added.clear()
                await self._added.wait()
            failures += 1
            await asyncio.sleep(retry_delay(failures, self._rng))
            try:
                await self._send_all()
            except Exception as error:
                expected = isinstance(error, StoreError)
                extra = {"outcomes": len(self._outcomes), "error": str(error)}
                logger.warning("storing postponed outcomes failed, retrying", exc_info=not expected, extra=extra)
            if self._outcomes and self._clock() - self._logged_at > REMIND_SECONDS:
                self._log()

    async def _send_all(self) -> None:
        batch = list(self._outcomes)
        for worker, group in groupby(batch, key=worker_of):
            some = list(group)
            locked = await self._send(worker, some)
            left = {(outcome.job.id, outcome.job.token) for outcome in locked}
            done = {(outcome.job.id, outcome.job.token) for outcome in some} - left
            self._outcomes = [one for one in self._outcomes if (one.job.id, one.job.token) not in done]
            self._stored(len(done))
