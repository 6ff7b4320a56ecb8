"""Claims that wait for their release: unstarted jobs, claims whose reply was lost, and claims unknown to this process.

A release without a reply stays here and is retried, which is safe. Must not decide what is released. A row that another
transaction locks delays no claim: `try_release` retries it later, with backoff.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.errors import RowLocked
from penstock.job import ClaimedJob
from penstock.store import Store
from penstock.store.acknowledge.unknown_claims import release_unknown

from ..observe.metrics import WorkerMetrics
from ..retry_delay import retry_delay
from .held_claims import HeldClaims, release

logger = logging.getLogger("penstock.claimer")


class ClaimPermit(Protocol):
    """The part of the lease that permits claims."""

    worker: int
    queue: int

    def may_claim(self) -> bool:
        """Running, and the lease renewed recently enough."""


class PendingReleases:
    """The pending releases of one worker.

    Args:
        store: releases.
        permit: ids of this worker and its queue.
        held_claims: forgets what was released.
        rng: for jitter.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        permit: ClaimPermit,
        held_claims: HeldClaims,
        metrics: WorkerMetrics,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._store, self._permit, self._held_claims, self._metrics, self._rng = (
            store,
            permit,
            held_claims,
            metrics,
            rng,
        )
        self._jobs: list[ClaimedJob] = []
        self._lost_tokens: list[int] = []
        self._checks = 0
        self._failures = 0
        self._retry_at = 0.0

    def add(self, jobs: Sequence[ClaimedJob]) -> None:
        """Unstarted claims."""
        self._jobs.extend(jobs)

    def add_lost_claim(self, token: int) -> None:
        """A claim whose reply was lost; what it took has this token."""
        self._lost_tokens.append(token)

    def add_unknown(self) -> None:
        """Schedule a check for claims that the database has for this worker and the worker does not."""
        self._checks += 1

    def __bool__(self) -> bool:
        return bool(self._lost_tokens or self._jobs or self._checks)

    @property
    def has_lost_claims(self) -> bool:
        """True if a claim whose reply was lost waits for its release."""
        return bool(self._lost_tokens)

    async def try_release(self) -> None:
        """As `release`, unless a locked row is to be retried later; a locked row raises nothing. Raises StoreError."""
        if not self or self._clock() < self._retry_at:
            return
        try:
            await self.release()
        except RowLocked as error:
            logger.warning("claims released later, another transaction locks a row", extra={"error": str(error)})
        self._failures = self._failures + 1 if self else 0
        self._retry_at = self._clock() + retry_delay(self._failures, self._rng) if self else 0.0

    async def release(self) -> None:
        """Release everything; jobs whose rows are locked stay.

        Raises:
            RowLocked: the worker's row, or one of a claim whose reply was lost, is locked by another transaction.
            StoreError: as `Store.jobs.release`.
        """
        if self._jobs:
            jobs = list(self._jobs)
            self._metrics.released += await release(self._store, self._held_claims, jobs)
            # Removed only now: a release without a reply is retried.
            self._jobs[: len(jobs)] = self._held_claims.still(jobs)
        while self._lost_tokens:
            await self._store.jobs.release_claim(self._permit.worker, self._permit.queue, self._lost_tokens[0])
            self._lost_tokens.pop(0)
        if self._checks:
            await self._release_unknown()

    async def _release_unknown(self) -> None:
        worker, checks = self._permit.worker, self._checks
        held_claims = [job for job in self._held_claims.snapshot() if job.worker == worker]
        if number := await release_unknown(self._store, worker, self._permit.queue, held_claims):
            logger.warning("claims released, the database lost their last commits", extra={"claims": number})
            self._metrics.released += number
        self._checks -= checks  # another server may have answered meanwhile
