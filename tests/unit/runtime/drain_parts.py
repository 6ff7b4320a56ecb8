"""The parts that a drain calls, without a worker: each notes its call and its time, and may hang or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from penstock.errors import RowLocked
from penstock.job import ClaimedJob
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.drain import Drain
from penstock.runtime.observe.metrics import WorkerMetrics
from tests.unit.runtime.support import job, running_state, store_of

GRACE = 40.0


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


async def forever() -> None:
    await asyncio.Event().wait()


class Parts:
    """The parts that a drain calls: each notes its call and its time, and may hang or fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.instead: dict[str, Callable[[], Awaitable[None]]] = {}
        """What a call does instead of returning at once."""
        self.held_claims, self.state = HeldClaims(), running_state()
        self.metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        self.waiting: list[ClaimedJob] = []
        self.running: dict[int, ClaimedJob] = {}
        self.unfinished: list[ClaimedJob] = []
        self.locked: set[int] = set()
        self.released: list[ClaimedJob] = []
        self.later: list[ClaimedJob] = []
        self.unknown_claims = False
        self.draining_at_close: bool | None = None
        self.drain = Drain(
            claimer=cast("Any", self._claimer()),
            consumers=cast("Any", self._consumers()),
            slots=cast("Any", SimpleNamespace(running=self.running, idle=self._noting("idle"))),
            state=self.state,
            store=store_of(self),
            held_claims=self.held_claims,
            metrics=self.metrics,
            grace=GRACE,
            clock=asyncio.get_running_loop().time,
        )

    def _claimer(self) -> SimpleNamespace:
        parts = self

        async def close() -> None:
            parts.draining_at_close = parts.state.draining
            await parts.note("claimer.close")

        return SimpleNamespace(
            close=close,
            release_pending=self._noting("release_pending"),
            release_later=self.later.extend,
            may_hold_unknown_claims=False,
        )

    def _consumers(self) -> SimpleNamespace:
        async def call(request: str) -> None:
            await self.note(request)

        async def cancel_running() -> list[ClaimedJob]:
            await self.note("cancel_running")
            return self.unfinished

        def take_waiting() -> list[ClaimedJob]:
            self.calls.append(("take_waiting", now()))
            return self.waiting

        def flush() -> None:
            self.calls.append(("flush", now()))

        return SimpleNamespace(call=call, cancel_running=cancel_running, take_waiting=take_waiting, flush=flush)

    def _noting(self, name: str) -> Callable[[], Awaitable[None]]:
        return lambda: self.note(name)

    async def note(self, name: str) -> None:
        self.calls.append((name, now()))
        if (instead := self.instead.get(name)) is not None:
            await instead()

    async def release(self, worker: int, jobs: Sequence[ClaimedJob]) -> int:
        assert {one.worker for one in jobs} == {worker}
        await self.note("release")
        if any(one.id in self.locked for one in jobs):
            raise RowLocked("a row")
        self.released += jobs
        return len(jobs)

    async def rows(self, statement: str, worker: int, ids: str, tokens: str) -> list[tuple[int, list[int]]]:
        assert statement == "release_unlocked"
        asked = [int(one) for one in ids.strip("{}").split(",")]
        return [(len(asked) - len(self.locked & set(asked)), sorted(self.locked & set(asked)))]

    def hold(self, count: int = 1) -> list[ClaimedJob]:
        """Claims of this worker."""
        jobs = [job() for _ in range(count)]
        self.held_claims.add(jobs)
        return jobs

    def run(self, count: int = 1) -> list[ClaimedJob]:
        """Attempts that run, and never finish."""
        jobs = self.hold(count)
        self.running.update((one.id, one) for one in jobs)
        self.unfinished, self.instead["idle"] = jobs, forever
        return jobs

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def at(self, name: str) -> float:
        """When a call started."""
        return next(at for call, at in self.calls if call == name)


def gone(parts: Parts, jobs: Sequence[ClaimedJob]) -> Callable[[], Awaitable[None]]:
    """What a step does that gets rid of these claims."""

    async def remove() -> None:
        parts.held_claims.remove(jobs)

    return remove
