"""The operator's side of a database: the same calls as `Database`, answered by a process of its own.

Owns what is known of the connection. No thread of the operator ever waits for a database's server, and no name is
resolved in it.
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
from penstock.store import QueueState
from penstock.store.inspect.database_stats import Vitals
from penstock.store.operator_queries import LostWorker
from penstock.store.queue_declarations import Declared

from ..errors import DatabaseMisbehaves, Deposed
from ..sampling import SOON_SECONDS, Address
from .limits import MEMORY_MIB
from .link import ProcessLink
from .protocol import declared, now, unpacked

ATTEMPTS: Final = 5
"""So often a write is sent that reached the process of the database too late."""
STAND_BY_SECONDS: Final = 10.0
"""A follower starts the process of a database at most once in this time, however often it ends."""
CLOSE_SECONDS: Final = 5.0
"""A process that has not closed its connections within this is ended."""


class DatabaseClient:
    """One database, reached through a process.

    Args:
        address: where it is.
        holder: names this operator in the leader row.
        woken: called in the event loop when a wake-up arrives, or the process has ended while it was asked nothing.
        may_act: False while another replica leads; workers and queues are then left alone.
        named: what log lines call the database.
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
        """The process, None while there is none."""
        return self._link.pid

    async def start(self) -> None:
        """Start the process; harmless while it runs.

        Raises:
            StoreError: it did not start, or the last one ended by itself, which is said once.
        """
        await self._link.start()

    async def stand_by(self) -> None:
        """Keep a process without connections, so that a takeover need not wait for its start; never raises."""
        if self.pid is None and time.monotonic() >= self._stand_by_at:
            self._stand_by_at = time.monotonic() + STAND_BY_SECONDS
            with contextlib.suppress(StoreError):
                await self.start()

    async def stop(self) -> None:
        """Close the connections if the process still answers, and end it; harmless when repeated."""
        await self.close()
        await self._link.stop()

    def _forget(self) -> None:
        self.identity, self.listening, self._failed = None, False, None

    async def open(self) -> None:
        """Connect and check the schema; harmless when open.

        Raises:
            StoreError: unreachable, refused, no schema, or one that is too old.
        """
        if self.identity is None:
            await self.start()
            self._forget()
            self.identity = await self._link.call("open", asdict(self._address), self._holder)

    async def close(self) -> None:
        """Close the connections; a process that does not do that in time is ended. Harmless when closed."""
        self._forget()
        if self.pid is None:
            await self._link.stop()
            return
        try:
            await self._link.call("close", seconds=CLOSE_SECONDS)
        except StoreError:
            await self._link.stop()

    def failed_task(self) -> str | None:
        """The name of a task of the process that has ended though it should not, None while all run."""
        return self._failed

    async def look(
        self, names: Sequence[str], *, soon: float = SOON_SECONDS, some: bool = False
    ) -> Mapping[str, QueueState]:
        """The queues of these names that are there, after marking those that rest.

        Args:
            names: of queues.
            soon: what is due within so many seconds is counted as due soon.
            some: add those of the last sample of all queues that were notified since.

        Raises:
            StoreError: the database cannot be sampled.
        """
        sample = await self._link.call("look", names, soon, some)
        self.listening, self._failed = sample.listening, sample.failed
        try:
            return unpacked(sample.queues)
        except msgspec.ValidationError as error:
            raise DatabaseMisbehaves(f"look: {error}") from error

    async def waits(self) -> Mapping[int, float]:
        """Seconds that 95 of 100 attempts of the last minute waited, by queue.

        Raises:
            StoreError: the database cannot be asked.
        """
        found: Mapping[int, float] = await self._link.call("waits")
        return found

    async def held_by(self, queue: int) -> Mapping[int, int]:
        """Jobs that each worker of the queue holds, exactly.

        Raises:
            StoreError: the database cannot be asked.
        """
        found: Mapping[int, int] = await self._link.call("held_by", queue)
        return found

    async def lost_workers(self, queue: int) -> Mapping[str, LostWorker]:
        """Lost workers of the queue by pod, for pods without a live worker.

        Raises:
            StoreError: the database cannot be asked.
        """
        return {pod: LostWorker(*row) for pod, row in (await self._link.call("lost_workers", queue)).items()}

    async def vitals(self) -> tuple[Vitals, Mapping[str, int]]:
        """The server's statistics, and what was taken back since this was last asked, by reason.

        Raises:
            StoreError: the database cannot be asked.
        """
        *seen, taken_back = msgspec.structs.astuple(await self._link.call("vitals"))
        return Vitals(*seen), taken_back

    def rest(self, queues: Iterable[int]) -> None:
        """Say which queues have nothing ready: an enqueue to them is to wake us."""
        self._resting = list(queues)

    async def pause(self, longest: float) -> float:
        """Seconds until the next sample is due for the marks' sake, at most `longest`; that without an answer."""
        try:
            seconds = await self._link.call("pause", self._resting, longest)
        except StoreError:
            return longest
        return min(longest, max(0.0, seconds)) if math.isfinite(seconds) else longest

    async def declarations(self, names: Sequence[str]) -> Mapping[str, Declared]:
        """What is declared of the queues of these names, by name.

        Raises:
            StoreError: the database cannot be asked.
        """
        try:
            return {name: declared(row) for name, row in (await self._link.call("declarations", names)).items()}
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DatabaseMisbehaves(f"declarations: {error}") from error

    async def declare(self, name: str, **declaration: Any) -> None:
        """Mirror a JobQueue's settings into the queue's row.

        Raises:
            StoreError: the database refuses it, or cannot be asked.
            Deposed: another replica leads.
        """
        await self._act("declare", name, declaration)

    async def cordon(self, workers: Sequence[int], *, cordon: bool) -> None:
        """Cordon workers or call them back.

        Raises:
            StoreError: the database cannot be asked.
            Deposed: another replica leads.
        """
        if workers:
            await self._act("cordon", workers, cordon)

    async def note_end(self, queue: int, *, pod: str, at: str, how: str) -> None:
        """Note how the workers of a pod ended, for the history of the jobs that they held.

        Raises:
            StoreError: it could not be written.
            Deposed: another replica leads.
        """
        await self._act("note_end", queue, pod, at, how)

    async def shorten_grace(self, queue: int, *, pod: str, seconds: float) -> None:
        """Tell the workers of a pod that it is killed in so many seconds.

        Raises:
            StoreError: it could not be written.
            Deposed: another replica leads.
        """
        await self._act("shorten_grace", queue, pod, seconds)

    async def _act(self, method: str, *values: object) -> None:
        """A write. The process refuses one that reaches it late, for another replica may lead by then."""
        for _ in range(ATTEMPTS):
            if not self._may_act():
                raise Deposed("nothing is asked of the database, for this replica does not lead")
            if await self._link.call(method, now(), *values):
                return
        raise DatabaseUnavailable(f"{method}: the process of the database is too slow for a write")
