"""One database: a query connection, a LISTEN connection, samples of all its queues, and the maintenance tasks.

Owns the connections and the waiting protocol: a queue at rest has a mark that makes the next enqueue send a wake-up; a
busy queue has none and is polled. Decides nothing and knows nothing of Kubernetes.

A transaction that was open while the mark was set may have read the old value. After setting a mark, sampling therefore
continues, ever slower, until every such transaction has finished (I5, I6: polling is what guarantees correctness).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from penstock.cancellation import cancel_and_wait
from penstock.errors import MissingRights, StoreError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.store import DEPTH, Listener, Maintenance, QueueState, Store, check_rights, check_schema
from penstock.store.inspect.database_stats import DatabaseStats, database_stats
from penstock.store.maintenance import MaintenanceStats
from penstock.store.operator_queries import LostWorker, claims_by_worker, database_identity, lost_workers, recent_waits
from penstock.store.queue_declarations import declarations
from penstock.store.same_database import check_same_database

from ..errors import NotLeader
from .address import Address
from .certificate_files import with_files

logger = logging.getLogger("penstock.operator.database")

MARK_SECONDS: Final = 60.0
"""Validity of a mark; it is renewed after half of that."""
UNMARKED_SECONDS: Final = 1.0
"""Before a queue is marked again if another transaction had locked its row."""
SETTLE_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Pauses between samples while transactions older than a mark are open: together about a poll period."""
LISTEN_SECONDS: Final = 1.0
"""The first sample waits at most this long for the subscription: the first status then shows it."""
LEASE_SECONDS: Final = 15.0
SOON_SECONDS: Final = 5.0
"""Assumed startup time of a pod until one was measured; jobs due within it count as due soon."""
WAITS_SECONDS: Final = 10.0


class Database:
    """Connections to one database.

    Args:
        address: where it is.
        holder: name of this operator in the leader row.
        woken: called in the event loop when a wake-up arrives, with the queue's id; None: any queue.
        may_act: False while another replica leads; workers and queues are then left alone.

    `identity` is that of the database, the same whatever URL leads to it; None until the first connection.
    """

    def __init__(
        self,
        *,
        address: Address,
        holder: str,
        woken: Callable[[int | None], None],
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._address, self._may_act = with_files(address, self), may_act
        self.identity: str | None = None
        self._waits: dict[int, float] = {}
        self._waits_at = float("-inf")
        self._store: Store | None = None
        self._subscribed = asyncio.Event()
        self._woken = woken
        self._listener = Listener(self._address.direct_url, [DEPTH], self._notified, name="penstock operator listen")
        self._holder = holder
        self._marked: dict[int, float] = {}
        self._resting: set[int] = set()
        self._unsettled: int | None = None
        self._settles = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._rescues, self._reported = MaintenanceStats(), MaintenanceStats()

    @property
    def listening(self) -> bool:
        """True if wake-ups arrive."""
        return self._listener.listening

    def _notified(self, _channel: str | None, payload: str) -> None:
        self._subscribed.set()
        self._woken(int(payload) if re.fullmatch(r"[0-9]{1,10}", payload) else None)

    async def open(self) -> None:
        """Connect and check the schema; idempotent.

        Raises:
            StoreError: unreachable, refused, no schema, or one that is too old.
        """
        if self._store is not None:
            return
        pooled = self._address.url != self._address.direct_url
        await asyncio.to_thread(self._check, pooled=pooled)
        store = Store(self._address.url, name="penstock operator", lanes=1, pooled=pooled)
        await store.open()
        try:
            self.identity = await database_identity(store)
        except BaseException:
            await store.close()
            raise
        self._store = store
        self._rescues = self._reported = MaintenanceStats()
        maintenance = Maintenance(
            store=store, stats=self._rescues, holder=self._holder, lease=LEASE_SECONDS, clock=time.monotonic
        )
        for run, name in ((self._listener.run(), "listen"), (maintenance.run(), "maintenance")):
            self._tasks.append(asyncio.create_task(run, name=f"penstock operator {name}"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_SECONDS):
                await self._subscribed.wait()

    def _check(self, *, pooled: bool) -> None:
        """Schema and rights. A login without any right may not even see the schema's version."""
        try:
            check_schema(self._address.url)
        except MissingRights:
            check_rights(self._address.url, "operator", pooled=pooled)
            raise
        check_rights(self._address.url, "operator", pooled=pooled)
        if pooled:
            check_same_database(self._address.url, self._address.direct_url)

    async def close(self) -> None:
        """Stop the tasks and close the connections; idempotent."""
        tasks, store = list(self._tasks), self._store
        self._tasks.clear()
        self._store = None
        for result in await cancel_and_wait(tasks):
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                logger.error("database task failed", extra={"error": str(result)})
        self._marked.clear()  # another server may answer next, and it has no marks
        self._unsettled = None
        if store is not None:
            await store.close()

    def failed_task(self) -> str | None:
        """The name of a task that stopped unexpectedly; None while all run."""
        return next((task.get_name() for task in self._tasks if task.done()), None)

    async def sample(self, queues: Sequence[str], *, soon: float = SOON_SECONDS) -> Mapping[str, QueueState]:
        """These queues by name, after marking those at rest; queues that do not exist are omitted.

        Args:
            queues: names. Clients that enqueue can create any number of others, which must cost nothing here.
            soon: jobs due within this many seconds count as due soon.

        Raises:
            StoreError: the query failed.
        """
        store = self._opened()
        now = time.monotonic()
        due = [queue for queue in self._resting if self._marked.get(queue, 0.0) <= now]
        if due:
            stands = await store.queues.mark_waiting(sorted(self._resting), MARK_SECONDS, operator=True)
            new = any(queue not in self._marked for queue in due)
            # A row that another transaction has locked is not marked; it is retried, but not at every sample.
            self._marked = dict.fromkeys(self._resting, now + max(stands / 2, UNMARKED_SECONDS))
            if new:
                self._unsettled, self._settles = await store.queues.take_xid(), 0
        if self._unsettled is not None and await store.queues.oldest_xid() > self._unsettled:
            self._unsettled = None  # the sample below sees all of them
        return {state.name: state for state in await store.queues.snapshot(queues=queues, soon=soon)}

    async def waits(self) -> Mapping[int, float]:
        """Seconds that 95 % of the attempts of the last minute waited at most, by queue id; read once in ten seconds.

        Raises:
            StoreError: the query failed.
        """
        if time.monotonic() - self._waits_at >= WAITS_SECONDS:
            self._waits_at = time.monotonic()
            self._waits = await recent_waits(self._opened())
        return self._waits

    async def jobs_in_flight(self, queue: int) -> Mapping[int, int]:
        """The exact number of jobs in flight of each worker of the queue, by worker id.

        Raises:
            StoreError: the query failed.
        """
        return await claims_by_worker(self._opened(), queue)

    async def lost_workers(self, queue: int) -> Mapping[str, LostWorker]:
        """Lost workers of the queue by pod, for pods without a live worker.

        Raises:
            StoreError: the query failed.
        """
        return await lost_workers(self._opened(), queue)

    @property
    def store(self) -> Store:
        """The open store, for statements that use nothing of this class."""
        return self._opened()

    async def vitals(self) -> tuple[DatabaseStats, Mapping[str, int]]:
        """The server's statistics, and the claims rescued since the last call, by reason.

        Raises:
            StoreError: the query failed.
        """
        seen, now, before = await database_stats(self._opened()), replace(self._rescues), self._reported
        self._reported = now
        return seen, {
            "lease": now.rescued - before.rescued,
            "poison": now.poisoned - before.poisoned,
            "deadline": now.overdue - before.overdue,
        }

    def rest(self, queues: Iterable[int]) -> None:
        """Set the queues without ready jobs; an enqueue to one of them wakes the operator."""
        self._resting = set(queues)
        self._marked = {queue: until for queue, until in self._marked.items() if queue in self._resting}

    def pause(self, maximum: float) -> float:
        """Seconds until the marks require the next sample, at most `maximum`."""
        now = time.monotonic()
        if any(queue not in self._marked for queue in self._resting):
            return 0.0
        if self._unsettled is not None:
            if self._settles >= len(SETTLE_SECONDS):
                self._unsettled = None  # a transaction of hours; polling covers it
            else:
                self._settles += 1
                return min(maximum, SETTLE_SECONDS[self._settles - 1])
        return min([maximum, *(max(0.0, until - now) for until in self._marked.values())])

    async def declarations(self) -> Mapping[str, QueueDeclaration]:
        """The declarations of all queues, by name.

        Raises:
            StoreError: the query failed.
        """
        return await declarations(self._opened())

    async def declare(self, name: str, declared: QueueDeclaration) -> None:
        """Write a JobQueue's settings to the queue's row."""
        await self._acting().queues.declare(name, declared)

    async def cordon(self, workers: Sequence[int], *, cordon: bool) -> None:
        """Cordon or uncordon workers."""
        if workers:
            await self._acting().workers.cordon(workers, cordon=cordon)

    def _acting(self) -> Store:
        if not self._may_act():
            raise NotLeader("this replica does not lead, so it writes nothing to the database")
        return self._opened()

    def _opened(self) -> Store:
        if self._store is None:
            raise StoreError("database: not connected yet")
        return self._store
