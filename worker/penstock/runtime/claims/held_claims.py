"""The claims that this process holds, from the reply of the claim to the reply of the acknowledgement.

Written by the event loop alone. The lease thread reads `snapshot`, one copy made in C, and never sees half a change.
Nothing is decided here: renewals report this list, and a drain empties it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from penstock.errors import RowLocked
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.store import Store
from penstock.store.acknowledge.unlocked import release_unlocked

_CLAIMS_KNOWN = 256
"""Claims whose arrival is kept before those of finished ones are removed."""


class HeldClaims:
    """Claims by job id, and what was done since the start by queue."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[int, ClaimedJob] = {}
        self._arrived: dict[int, float] = {}
        self.progress: dict[int, dict[str, Any]] = {}
        """Last progress that attempts reported, by job id."""
        self.last: tuple[Finished, float] | None = None
        """The last accepted outcome, and its time on the monotonic clock."""
        self._empty = asyncio.Event()
        self._empty.set()
        self.done: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, jobs: Sequence[ClaimedJob]) -> None:
        """Claims arrived: the jobs of one claim, which share its token."""
        for job in jobs:
            self._jobs[job.id] = job
        if self._jobs:
            self._empty.clear()
        if jobs:
            if len(self._arrived) >= _CLAIMS_KNOWN:
                tokens = {job.token for job in self._jobs.values()}
                self._arrived = {token: at for token, at in self._arrived.items() if token in tokens}
            self._arrived[jobs[0].token] = self._clock()

    def remove(self, jobs: Iterable[ClaimedJob]) -> None:
        """Claims were acknowledged, released or fenced. A newer claim of the same job stays."""
        held_claims, progress = self._jobs, self.progress
        for job in jobs:
            if (known := held_claims.get(job.id)) is not None and known.token == job.token:
                del held_claims[job.id]
        if progress:
            for job_id in [job_id for job_id in list(progress) if job_id not in held_claims]:  # threads add to it
                progress.pop(job_id, None)
        if not held_claims:
            self._empty.set()

    def accepted(self, outcomes: Sequence[Finished]) -> None:
        """These outcomes are stored. A snooze is not counted as done."""
        self.done.update([outcome.job.queue for outcome in outcomes if outcome.state is not OutcomeState.SNOOZE])
        if outcomes:
            self.last = (outcomes[-1], self._clock())

    def still(self, jobs: Iterable[ClaimedJob]) -> list[ClaimedJob]:
        """The claims among these that this worker still holds."""
        held_claims = self._jobs
        return [job for job in jobs if (known := held_claims.get(job.id)) is not None and known.token == job.token]

    def snapshot(self) -> list[ClaimedJob]:
        """A copy; safe from any thread."""
        return list(self._jobs.values())

    def since(self, job: ClaimedJob) -> float:
        """When its claim arrived, on the monotonic clock; safe from any thread."""
        return self._arrived.get(job.token, self._clock())

    def oldest(self) -> float | None:
        """When the oldest of these claims arrived, on the monotonic clock; safe from any thread."""
        jobs = self.snapshot()  # in the order of arrival
        return self.since(jobs[0]) if jobs else None

    async def empty(self) -> None:
        """Wait until no claim is left."""
        await self._empty.wait()


async def release(store: Store, held_claims: HeldClaims, jobs: Sequence[ClaimedJob]) -> int:
    """Release unstarted claims and forget them; returns how many were still ours in the store.

    Claims whose rows other transactions lock stay in it, see `HeldClaims.still`: they must be released later.

    Raises:
        StoreError: some claims were not released; a retry is safe.
    """
    count = 0
    for worker, batch in groupby(jobs, key=attrgetter("worker")):
        some = list(batch)
        try:
            count += await store.jobs.release(worker, some)
        except RowLocked:
            released = await release_unlocked(store, worker, some)
            count += released.number
            some = [job for job in some if job.id not in released.locked]
        held_claims.remove(some)
    return count
