"""The operator's client of one database: the same calls as `Database`, answered by a separate process.

Owns the known state of the connection. No thread of the operator waits for a database server, and no host name is
resolved in its process.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec

from penstock.errors import DatabaseUnavailable, StoreError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.store import QueueState
from penstock.store.inspect.database_stats import DatabaseStats
from penstock.store.operator_queries import LostWorker

from ..errors import DatabaseMisbehaves, NotLeader
from .address import Address
from .connection import SOON_SECONDS
from .process.limits import MEMORY_MIB
from .process.link import ProcessLink
from .process.protocol import declared, now, unpacked
from .process.schedules import DeclaredSchedules, ScheduleList

ATTEMPTS: Final = 5
"""Attempts for a write that reached the process of the database too late."""
STAND_BY_SECONDS: Final = 10.0
"""A follower starts the process of a database at most once in this time, however often it exits."""
CLOSE_SECONDS: Final = 5.0
"""A process that has not closed its connections within this is killed."""


class DatabaseClient:
    """One database, reached through a process.

    Args:
        address: where it is.
        holder: name of this operator in the leader row.
        woken: called in the event loop when a wake-up arrives, or when the process exits while no call is pending.
        may_act: False while another replica leads; workers and queues are then left alone.
        named: returns the name of the database for log lines.
        memory_mib: bound on the private memory of the process, in MiB.
    """

    def __init__(
        self,
        *,
        address: Address,
        holder: str,
        woken: Callable[[], None],
        may_act: Callable[[], bool] = lambda: True,
        named: Callable[[], str] = lambda: "database",
        memory_mib: int = MEMORY_MIB,
    ) -> None:
        self._address, self._holder, self._may_act = address, holder, may_act
        self._link = ProcessLink(named=named, memory_mib=memory_mib, woken=woken, ended=self._forget)
        self.identity: str | None = None
        self.listening = False
        self._failed: str | None = None
        self._resting: list[int] = []
        self._stand_by_at = float("-inf")

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._link.pid

    async def start(self) -> None:
        """Start the process; harmless while it runs.

        Raises:
            StoreError: it did not start, or the last one exited by itself, which is reported once.
        """
        await self._link.start()

    async def stand_by(self) -> None:
        """Keep a process without connections, ready for a takeover; never raises."""
        if self.pid is None and time.monotonic() >= self._stand_by_at:
            self._stand_by_at = time.monotonic() + STAND_BY_SECONDS
            with contextlib.suppress(StoreError):
                await self.start()

    async def stop(self) -> None:
        """Close the connections if the process still answers, and stop it; idempotent."""
        await self.close()
        await self._link.stop()

    def _forget(self) -> None:
        self.identity, self.listening, self._failed = None, False, None

    async def open(self) -> None:
        """Connect and check the schema; idempotent.

        Raises:
            StoreError: unreachable, refused, no schema, or one that is too old.
        """
        if self.identity is None:
            await self.start()
            self._forget()
            self.identity = await self._link.call("open", asdict(self._address), self._holder)

    async def close(self) -> None:
        """Close the connections; a process that does not do that in time is killed. Idempotent."""
        self._forget()
        if self.pid is None:
            await self._link.stop()
            return
        try:
            await self._link.call("close", seconds=CLOSE_SECONDS)
        except StoreError:
            await self._link.stop()

    def failed_task(self) -> str | None:
        """The name of a task of the process that stopped unexpectedly; None while all run."""
        return self._failed

    async def sample(
        self, names: Sequence[str], *, soon: float = SOON_SECONDS, some: bool = False
    ) -> Mapping[str, QueueState]:
        """The existing queues of these names, after marking those at rest.

        Args:
            names: of queues.
            soon: jobs due within this many seconds count as due soon.
            some: add those of the last sample of all queues that were notified since.

        Raises:
            StoreError: the database cannot be sampled.
        """
        sample = await self._link.call("sample", names, soon, some)
        self.listening, self._failed = sample.listening, sample.failed
        try:
            return unpacked(sample.queues)
        except msgspec.ValidationError as error:
            raise DatabaseMisbehaves(f"sample: {error}") from error

    async def waits(self) -> Mapping[int, float]:
        """Seconds that 95 % of the attempts of the last minute waited at most, by queue id.

        Raises:
            StoreError: the query failed.
        """
        found: Mapping[int, float] = await self._link.call("waits")
        return found

    async def jobs_in_flight(self, queue: int) -> Mapping[int, int]:
        """The exact number of jobs in flight of each worker of the queue, by worker id.

        Raises:
            StoreError: the query failed.
        """
        found: Mapping[int, int] = await self._link.call("jobs_in_flight", queue)
        return found

    async def lost_workers(self, queue: int) -> Mapping[str, LostWorker]:
        """Lost workers of the queue by pod, for pods without a live worker.

        Raises:
            StoreError: the query failed.
        """
        return {pod: LostWorker(*row) for pod, row in (await self._link.call("lost_workers", queue)).items()}

    async def vitals(self) -> tuple[DatabaseStats, Mapping[str, int]]:
        """The server's statistics, and the claims rescued since the last call, by reason.

        Raises:
            StoreError: the query failed.
        """
        *seen, rescued = msgspec.structs.astuple(await self._link.call("vitals"))
        return DatabaseStats(*seen), rescued

    def rest(self, queues: Iterable[int]) -> None:
        """Set the queues without ready jobs; an enqueue to one of them wakes the operator."""
        self._resting = list(queues)

    async def pause(self, maximum: float) -> float:
        """Seconds until the marks require the next sample, at most `maximum`; `maximum` if there is no answer."""
        try:
            seconds = await self._link.call("pause", self._resting, maximum)
        except StoreError:
            return maximum
        return min(maximum, max(0.0, seconds)) if math.isfinite(seconds) else maximum

    async def declarations(self, names: Sequence[str]) -> Mapping[str, QueueDeclaration]:
        """The declarations of the queues of these names, by name.

        Raises:
            StoreError: the query failed.
        """
        try:
            return {name: declared(row) for name, row in (await self._link.call("declarations", names)).items()}
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DatabaseMisbehaves(f"declarations: {error}") from error

    async def declare(self, name: str, declared: QueueDeclaration) -> None:
        """Write a JobQueue's settings to the queue's row.

        Raises:
            StoreError: the database rejects it, or the statement failed.
            NotLeader: another replica leads.
        """
        await self._act("declare", name, list(declared))

    async def schedules(self, queues: Sequence[str]) -> ScheduleList:
        """The schedules of the queues of these names, and the database's clock.

        Raises:
            StoreError: the query failed.
        """
        found: ScheduleList = await self._link.call("schedules", queues)
        return found

    async def declare_schedules(self, queue: str, entries: Sequence[Mapping[str, Any]]) -> DeclaredSchedules:
        """Declare the schedules of a JobQueue, in place of those that it declared before.

        Raises:
            StoreError: the database rejects it, or the statement failed.
            NotLeader: another replica leads.
        """
        found: DeclaredSchedules = await self._act("declare_schedules", queue, entries)
        return found

    async def cordon(self, workers: Sequence[int], *, cordon: bool) -> None:
        """Cordon or uncordon workers.

        Raises:
            StoreError: the query failed.
            NotLeader: another replica leads.
        """
        if workers:
            await self._act("cordon", workers, cordon)

    async def note_end(self, queue: int, *, pod: str, at: str, how: str) -> None:
        """Record how the workers of a pod exited, for the history of their jobs.

        Raises:
            StoreError: it could not be written.
            NotLeader: another replica leads.
        """
        await self._act("note_end", queue, pod, at, how)

    async def shorten_grace(self, queue: int, *, pod: str, seconds: float) -> None:
        """Record for the workers of a pod that it is killed in so many seconds.

        Raises:
            StoreError: it could not be written.
            NotLeader: another replica leads.
        """
        await self._act("shorten_grace", queue, pod, seconds)

    async def _act(self, method: str, *values: object) -> Any:
        """A write. The process rejects one that reaches it late, because another replica may lead by then."""
        for _ in range(ATTEMPTS):
            if not self._may_act():
                raise NotLeader("this replica does not lead, so it writes nothing to the database")
            if (answer := await self._link.call(method, now(), *values)) is not False:
                return answer
        raise DatabaseUnavailable(f"{method}: the database process is too slow for a write")
