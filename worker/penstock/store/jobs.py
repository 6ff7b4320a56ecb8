"""Operations on jobs: a worker claims, acknowledges and releases them; people act on them by id.

A call may raise `DatabaseUnavailable` after its commit: claim, ack and release may be sent again, because the token
shows what the first call did.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from penstock.errors import PartitionMissing, StoreError
from penstock.job import ClaimedJob, Finished

from . import arrays, outcome_columns, unreadable
from .connections import Connections
from .leadership import make_partitions
from .rows import AckConflict

_ORDER = itemgetter(4, 5)
"""priority and ord in a row of a claim."""


class Jobs:
    """Statements about jobs.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def claim(self, worker: int, queue: int, queue_name: str, limit: int, token: int) -> list[ClaimedJob]:
        """Claim up to `limit` ready jobs, in order of priority and entry. `token` must be new for each call.

        Jobs that cannot be read become dead letters and are left out.

        Raises:
            ClaimRefused: the worker is not running with a live lease.
        """
        while True:
            rows = await self._claim_rows(worker, queue, queue_name, limit, token)
            rows.sort(key=_ORDER)
            jobs = [
                ClaimedJob(
                    id=id_,
                    token=token,
                    worker=worker,
                    attempt=attempt,
                    max_attempts=max_attempts,
                    crashes=crashes,
                    queue=queue_name,
                    priority=priority,
                    task=task,
                    args=args,
                    headers=headers,
                    wait=wait or 0.0,
                )
                for id_, attempt, max_attempts, crashes, priority, _, task, args, headers, wait in rows
            ]
            if not (refused := unreadable.refused(jobs)):
                return jobs
            await _fail_unreadable(self, worker, refused)
            if readable := unreadable.others(jobs, refused):
                return readable

    async def _claim_rows(
        self, worker: int, queue: int, queue_name: str, limit: int, token: int
    ) -> list[tuple[Any, ...]]:
        try:
            return await self._connections.rows("claim", worker, queue, limit, token)
        except StoreError as error:
            if not unreadable.may_be_unreadable(error):
                raise
            ids = await self._connections.value("bury_unreadable", queue, 2 * limit)
            if not ids:
                raise
            unreadable.log(queue_name, ids, str(error))
        return await self._connections.rows("claim", worker, queue, limit, token)

    async def ack(self, worker: int, finished: Sequence[Finished]) -> list[AckConflict]:
        """Store outcomes of one registration; idempotent, for a call whose reply was lost.

        Returns only outcomes that were not stored as sent.

        Raises:
            RejectedByDatabase: a value in the batch is not acceptable; nothing of the batch was written.
            RowLocked: another transaction locks a row for longer than a second; nothing was written. See
                acknowledge/unlocked.py.
            PartitionMissing: no partition covers the current time, and none could be made.
        """
        columns = outcome_columns.columns(finished)
        try:
            rows = await self._connections.rows("ack", worker, *columns)
        except PartitionMissing:
            await make_partitions(self._connections, 1)
            rows = await self._connections.rows("ack", worker, *columns)
        return [AckConflict(*row) for row in rows]

    async def release(self, worker: int, jobs: Sequence[ClaimedJob]) -> int:
        """Release unstarted claims, attempts refunded; returns how many. Raises RowLocked as `ack`."""
        ids, tokens = arrays.numbers(j.id for j in jobs), arrays.numbers(j.token for j in jobs)
        return int(await self._connections.value("release", worker, ids, tokens) or 0)

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        """Release the jobs of a claim whose reply was lost; returns how many."""
        return int(await self._connections.value("release_claim", worker, queue, token) or 0)

    async def end_refused(self, worker: int, job: ClaimedJob, error: str) -> float | None:
        """End the claim of an attempt whose outcome is refused in any form; the attempt counts.

        Args:
            worker: the registration that made the claim.
            job: the attempt.
            error: JSON of the refusal, for the job's history.

        Returns:
            Seconds until the job is due again, ten years after its last attempt; None if the claim was fenced.

        Raises:
            StoreError: the database cannot be used, refuses this as well, or is older than this function.
        """
        due: float | None = await self._connections.value("end_refused", worker, job.id, job.token, error)
        return due

    async def retry_now(self, ids: Sequence[int]) -> int:
        """Make deferred jobs ready at once; returns how many."""
        return int(await self._connections.value("retry_now", list(ids)))

    async def redrive(self, ids: Sequence[int], *, drop_key: bool = False) -> dict[int, int | None]:
        """Make dead letters ready jobs again: by id None, or the job that has its unique key and keeps it dead."""
        return dict(await self._connections.rows("redrive", list(ids), drop_key))

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete dead letters; returns how many."""
        return int(await self._connections.value("discard", list(ids)))


async def _fail_unreadable(jobs: Jobs, worker: int, unreadable: Sequence[Finished]) -> None:
    """Acknowledge jobs that cannot be read as failed; end their claims if no table accepts that.

    Raises:
        StoreError: as `Jobs.end_refused`.
    """
    try:
        await jobs.ack(worker, unreadable)
    except StoreError as error:
        if not outcome_columns.is_refusal(error):
            raise
        for outcome in unreadable:
            await jobs.end_refused(worker, outcome.job, outcome.error or "{}")
