"""The statements of a running process, worker or operator: one method for each, over a few asyncio connections.

`Store` owns its connections ("lanes") and maps errors; it decides nothing. A call may raise `DatabaseUnavailable` at
any point, also after its commit: claim, ack and release are made so that this can be told apart later (by token).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Self

import psycopg_pool

from penstock.database.source import Url
from penstock.errors import PartitionMissing, StoreError
from penstock.job import ClaimedJob, Finished

from . import arrays, outcomes, unreadable
from ._sql import statement
from .connect import arguments, configure, resolved
from .errors import check_url, mapped
from .rows import AuditPart, Difference, Overdue, Promotion, QueueState, Rescue

_ORDER = itemgetter(4, 5)
"""priority and ord in a row of a claim."""


class Store:
    """Statements over `lanes` connections to one database.

    Args:
        url: a libpq URL; never printed.
        name: application_name on the server.
        lanes: connections, 1 to 16.
        pooled: the URL leads to a pooler in transaction mode.
    """

    def __init__(self, url: Url, *, name: str = "penstock", lanes: int = 2, pooled: bool = False) -> None:
        check_url(url)
        self._pool = psycopg_pool.AsyncConnectionPool(
            functools.partial(resolved, url),
            kwargs=arguments(name, pooled=pooled),
            configure=configure,
            min_size=lanes,
            max_size=lanes,
            timeout=10,
            reconnect_timeout=30,
            num_workers=1,
            name=name,
            open=False,
        )

    async def open(self) -> Self:
        """Connect.

        Raises:
            DatabaseUnavailable: no connection within ten seconds.
        """
        with mapped("open the store"):
            try:
                await self._pool.open(wait=True, timeout=10)
            except BaseException:
                await self._pool.close()
                raise
        return self

    async def close(self) -> None:
        """Close the connections; harmless when repeated."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        with mapped(name.replace("_", " ")):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement(name), values)
                return await cursor.fetchall()

    async def _value(self, name: str, *values: object) -> Any:
        return (await self._rows(name, *values))[0][0]

    # -- jobs ---------------------------------------------------------------------------------------------------

    async def claim(self, worker: int, queue: int, queue_name: str, limit: int, token: int) -> list[ClaimedJob]:
        """Take up to `limit` ready jobs, in order of priority and entry. `token` must be new for each call.

        Jobs that cannot be read become dead letters and are left out.

        Raises:
            ClaimRefused: the worker is not running with a live lease.
        """
        while True:
            rows = await self._claim_rows(worker, queue, queue_name, limit, token)
            rows.sort(key=_ORDER)
            jobs = [
                ClaimedJob(
                    id=id_, token=token, worker=worker, attempt=attempt, max_attempts=most, crashes=crashes,
                    queue=queue_name, priority=priority, task=task, args=args, headers=headers, wait=wait or 0.0,
                )
                for id_, attempt, most, crashes, priority, _, task, args, headers, wait in rows
            ]  # fmt: skip
            if not (refused := unreadable.refused(jobs)):
                return jobs
            await outcomes.bury(self, worker, refused)
            if readable := unreadable.others(jobs, refused):
                return readable

    async def _claim_rows(
        self, worker: int, queue: int, queue_name: str, limit: int, token: int
    ) -> list[tuple[Any, ...]]:
        try:
            return await self._rows("claim", worker, queue, limit, token)
        except StoreError as error:
            if not unreadable.may_be_unreadable(error):
                raise
            ids = await self._value("bury_unreadable", queue, 2 * limit)
            if not ids:
                raise
            unreadable.tell(queue_name, ids, str(error))
        return await self._rows("claim", worker, queue, limit, token)

    async def ack(self, worker: int, finished: Sequence[Finished]) -> list[Difference]:
        """Hand one registration's outcomes in; repeating a call whose reply was lost is safe.

        Returns only what was not simply accepted.

        Raises:
            RejectedByDatabase: a value in the batch is not acceptable; nothing of the batch was written.
            RowLocked: another transaction holds a row for longer than a second; nothing was written. See unlocked.py.
            PartitionMissing: no partition covers this moment, and none could be made just now.
        """
        columns = outcomes.columns(finished)
        try:
            rows = await self._rows("ack", worker, *columns)
        except PartitionMissing:
            await self.make_partitions(1)
            rows = await self._rows("ack", worker, *columns)
        return [Difference(*row) for row in rows]

    async def release(self, worker: int, jobs: Sequence[ClaimedJob]) -> int:
        """Hand unstarted claims back, attempts refunded; returns how many were ours. Raises RowLocked as `ack`."""
        ids, tokens = arrays.numbers(j.id for j in jobs), arrays.numbers(j.token for j in jobs)
        return int(await self._value("release", worker, ids, tokens) or 0)

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        """Hand back what a claim took whose reply was lost; returns how many."""
        return int(await self._value("release_claim", worker, queue, token) or 0)

    async def retry_now(self, ids: Sequence[int]) -> int:
        """Make deferred jobs ready at once; returns how many were."""
        return int(await self._value("retry_now", list(ids)))

    async def redrive(self, ids: Sequence[int], *, drop_key: bool = False) -> dict[int, int | None]:
        """Bring dead letters back: by id None, or the job that holds its unique key and keeps it where it is."""
        return dict(await self._rows("redrive", list(ids), drop_key))

    async def discard(self, ids: Sequence[int]) -> int:
        """Throw dead letters away; returns how many were there."""
        return int(await self._value("discard", list(ids)))

    async def pause(self, queue: str, *, paused: bool = True) -> bool:
        """Pause or resume a queue; whether it exists."""
        return bool(await self._value("pause", queue, paused))

    # -- waiting ------------------------------------------------------------------------------------------------

    async def wait_mark(self, queues: Sequence[int], seconds: float, *, operator: bool = False) -> float:
        """Announce a waiter; returns for how many seconds the announcement stands."""
        return float(await self._value("wait_mark", list(queues), seconds, operator) or 0.0)

    async def take_xid(self) -> int:
        """A transaction id of a transaction of its own."""
        return int(await self._value("take_xid"))

    async def oldest_xid(self) -> int:
        """The lowest transaction id that may still be open."""
        return int(await self._value("oldest_xid"))

    # -- watching and steering ----------------------------------------------------------------------------------

    async def snapshot(
        self, *, queues: Sequence[str] | None = None, cap: int = 10_000, soon: float = 15.0
    ) -> list[QueueState]:
        """Queues in one query; counts stop at `cap`, due_soon counts what falls due within `soon` seconds.

        Args:
            queues: names; those that do not exist are left out. None: every queue that is declared or served, and the
                1,000 oldest of the others.
            cap: of every count of every queue.
            soon: seconds.
        """
        names = None if queues is None else list(queues)
        return [QueueState(*row) for row in await self._rows("sample", names, cap, soon)]

    async def cordon(self, workers: Sequence[int], *, cordon: bool = True) -> list[int]:
        """Cordon workers, or call them back; returns those whose state changed."""
        return [row[0] for row in await self._rows("cordon", list(workers), cordon)]

    async def declare_queue(
        self,
        name: str,
        *,
        declared_by: str,
        generation: int = 0,
        paused: bool = False,
        max_attempts: int = 5,
        max_in_flight: int | None = None,
        retry: Mapping[str, object] | None = None,
        job_deadline: float | None = None,
        retention: float = 86400.0,
        settings: Mapping[str, object] | None = None,
    ) -> int:
        """Mirror a JobQueue's settings (durations in seconds) into the queue's row; returns the queue's id."""
        retry_json, settings_json = arrays.document(retry or {}), arrays.document(settings or {})
        values = (
            name, declared_by, generation, paused, max_attempts, retry_json, job_deadline, retention, settings_json,
        )  # fmt: skip
        queue = int(await self._value("declare_queue", *values))
        await self.set_limit(queue, max_in_flight)
        return queue

    async def set_limit(self, queue: int, max_in_flight: int | None) -> None:
        """Limit how many of the queue's jobs run at once, or lift the limit; a new one holds once counted."""
        await self._value("set_limit", queue, max_in_flight)

    async def count_limits(self) -> bool:
        """Count limits that were turned on; True when none is left uncounted. Call again until then."""
        return not await self._value("count_limits")

    async def begin_marks(self) -> tuple[int, int]:
        """The last ord drawn and a transaction id taken after it: what `publish_marks` needs."""
        last_ord, horizon = (await self._rows("begin_marks"))[0]
        return int(last_ord), int(horizon)

    async def publish_marks(self, last_ord: int, horizon: int) -> int | None:
        """Publish marks; how many queues' moved, None while a transaction is open that may bring rows below them."""
        moved = await self._value("publish_marks", last_ord, horizon)
        return None if moved is None else int(moved)

    # -- maintenance --------------------------------------------------------------------------------------------

    async def lead(self, name: str, holder: str, lease: float) -> tuple[float | None, float]:
        """Take or keep a leadership: seconds held without a gap, None while another has it; seconds until it ends."""
        held, left = (await self._rows("lead", name, holder, lease, name))[0]
        return held, left or 0.0

    async def promote(self, limit: int = 5000) -> Promotion:
        """Make due jobs ready, about `limit` in all, the queues sharing alike."""
        return Promotion(*(await self._rows("promote", limit))[0])

    async def rescue(self, holder: str, lease: float, *, strays: bool = False) -> Rescue:
        """Take claims back from lost workers (`strays`: from unknown ones too), if `holder` may (may_rescue.sql)."""
        return Rescue(*(await self._rows("rescue", holder, lease, strays))[0])

    async def rescue_overdue(self, holder: str, lease: float) -> Overdue:
        """Take back attempts past their queue's deadline whose worker lives, if `holder` may (may_rescue.sql)."""
        return Overdue(*(await self._rows("rescue_overdue", holder, lease))[0])

    async def make_partitions(self, days: int = 14) -> int:
        """Have partitions of outcome for `days` ahead; returns how many were made."""
        return int(await self._value("make_partitions", days))

    async def drop_partitions(self) -> int:
        """Drop the oldest partition past every queue's retention; returns 1, or 0 if there is none or it is read."""
        return int(await self._value("drop_partitions"))

    async def audit(self, part: AuditPart) -> int:
        """Correct what copies of a database and changes by hand leave behind; returns how many (audit.sql)."""
        return int(await self._value("audit", part))

    async def prune_workers(self) -> int:
        """Forget workers lost long ago; returns how many."""
        return int(await self._value("prune_workers"))

    async def prune_queues(self) -> int:
        """Forget undeclared queues that nobody has used for their retention; returns how many."""
        return int(await self._value("prune_queues"))
