"""An acknowledger without a database: outcomes that are rejected, rows that others lock, claims that are lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from penstock.errors import RejectedByDatabase, RowLocked
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.claims.acknowledger import REFUSED, JobAcknowledger
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.store import AckConflict
from penstock.store.acknowledge.unlocked import LOCKED
from tests.unit.runtime.support import completed, job, store_of


class MemoryStore:
    """A store that acknowledges; outcomes that it rejects, rows that others lock, claims that are lost."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        """Of the next statements of any kind, in order."""
        self.rejected: set[int] = set()
        """Jobs whose outcomes are rejected, unless they are plain failures."""
        self.unstorable: set[int] = set()
        """Jobs whose outcomes are rejected whatever they are."""
        self.locked: set[int] = set()
        self.stored_as: dict[int, str | None] = {}
        self.due: float | None = 7.0
        self.calls: list[tuple[str, int, list[int]]] = []
        self.stored: list[Finished] = []
        self.ended: list[tuple[int, dict[str, Any]]] = []
        self.known: dict[int, Finished] = {}
        """Outcomes by job: the statement gets columns."""

    def _next(self, call: str, worker: int, ids: list[int]) -> None:
        self.calls.append((call, worker, ids))
        if self.errors:
            raise self.errors.pop(0)

    def _store(self, outcomes: Sequence[Finished]) -> list[AckConflict]:
        for one in outcomes:
            unstorable = one.job.id in self.unstorable
            if unstorable or (one.job.id in self.rejected and one.reason != REFUSED):
                raise RejectedByDatabase(f"job {one.job.id}: no")
        self.stored += outcomes
        return [
            AckConflict(one.job.id, one.job.token, self.stored_as[one.job.id])
            for one in outcomes
            if one.job.id in self.stored_as
        ]

    async def ack(self, worker: int, outcomes: Sequence[Finished]) -> list[AckConflict]:
        self._next("ack", worker, [one.job.id for one in outcomes])
        if any(one.job.id in self.locked for one in outcomes):
            raise RowLocked("a row")
        return self._store(outcomes)

    async def rows(self, statement: str, worker: int, *columns: Any) -> list[AckConflict]:
        assert statement == "ack_unlocked"
        ids, tokens = ([int(one) for one in text.strip("{}").split(",")] for text in columns[:2])
        states, reasons = (column or [None] * len(ids) for column in (columns[2], columns[5]))
        self._next(statement, worker, ids)
        batch = [
            msgspec.structs.replace(self.known[one], state=OutcomeState(state or "completed"), reason=reason)
            for one, state, reason in zip(ids, states, reasons, strict=True)
        ]
        assert [one.job.token for one in batch] == tokens
        locked = [AckConflict(one.job.id, one.job.token, LOCKED) for one in batch if one.job.id in self.locked]
        return [*self._store([one for one in batch if one.job.id not in self.locked]), *locked]

    async def end_refused(self, worker: int, one: ClaimedJob, error: str) -> float | None:
        self._next("end_refused", worker, [one.id])
        if one.id in self.locked:
            raise RowLocked("a row")
        self.ended.append((one.id, msgspec.json.decode(error)))
        return self.due


class Letters:
    """Forensics that mark what passes through them."""

    def __init__(self) -> None:
        self.settled_batches: list[list[Finished]] = []

    async def attach(self, batch: list[Finished]) -> list[Finished]:
        return [msgspec.structs.replace(one, forensics='{"seen":1}') for one in batch]

    def settled(self, batch: Sequence[Finished]) -> None:
        self.settled_batches.append(list(batch))


class Bench:
    """One acknowledger over that store."""

    def __init__(self) -> None:
        self.store, self.held_claims, self.letters = MemoryStore(), HeldClaims(), Letters()
        self.metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        self.accepted: list[int] = []
        self.acknowledger = JobAcknowledger(
            name="acknowledger",
            store=store_of(self.store),
            held_claims=self.held_claims,
            metrics=self.metrics,
            forensics=cast("Any", self.letters),
            accepted=self.accepted.append,
            rng=random.Random(1),
        )

    def hold(self, count: int, **values: Any) -> list[Finished]:
        """Outcomes of claims that the worker holds."""
        outcomes = [completed(job(**values)) for _ in range(count)]
        self.held_claims.add([one.job for one in outcomes])
        self.store.known |= {one.job.id: one for one in outcomes}
        return outcomes

    async def send(self, outcomes: Sequence[Finished]) -> None:
        """A batch arrives, and is answered within ten virtual minutes."""
        async with asyncio.timeout(600):
            await self.acknowledger.handle_events(outcomes, cast("Any", None))

    @property
    def calls(self) -> list[tuple[str, list[int]]]:
        return [(name, ids) for name, _, ids in self.store.calls]

    @property
    def settled(self) -> list[Finished]:
        return [one for batch in self.letters.settled_batches for one in batch]


def ids(outcomes: Sequence[Finished]) -> list[int]:
    return [one.job.id for one in outcomes]


async def changed(bench: Bench, true: Callable[[], object]) -> None:
    """Wait in virtual time for a condition."""
    async with asyncio.timeout(600):
        while not true():
            await asyncio.sleep(0.05)
