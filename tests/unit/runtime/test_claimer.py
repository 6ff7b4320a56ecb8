"""Claiming when the database does not answer, answers no, or this program is wrong: demand is kept, people are told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.errors import DatabaseUnavailable, SchemaMissing, StatementRefused
from penstock.job import ClaimedJob
from penstock.runtime.claimer import DISCONNECTED_AFTER, Claimer
from penstock.runtime.held import Held
from penstock.runtime.metrics import WorkerMetrics
from penstock.stages import Cancel, Consumer, Subscription
from tests.unit.runtime.support import job, until


class Shelf:
    """A store with jobs, or an error instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.jobs: list[ClaimedJob] = []
        self.asked: list[int] = []
        self.given_back: list[int] = []

    async def claim(self, worker: int, queue: int, name: str, limit: int, token: int) -> list[ClaimedJob]:
        self.asked.append(limit)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return taken

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        self.given_back.append(token)
        return 0


class Taker(Consumer[ClaimedJob]):
    """Takes what it asked for."""

    def __init__(self) -> None:
        super().__init__(name="taker")
        self.taken: list[ClaimedJob] = []

    async def handle_events(self, events: Any, subscription: Subscription) -> None:
        self.taken.extend(events)


class Pair:
    """A claimer over a shelf, and somebody who asked for three jobs."""

    def __init__(self) -> None:
        self.shelf, self.taker = Shelf(), Taker()
        self.claimer = Claimer(
            store=cast("Any", self.shelf), rights=SimpleNamespace(worker=1, queue=1, may_claim=lambda: True),
            held=Held(), metrics=WorkerMetrics(queue="q", tasks=["work"], version="1"), queue="q", poll_seconds=0.05,
            listening=lambda: False, chance=random.Random(1),
        )  # fmt: skip

    async def start(self) -> None:
        await self.claimer.start()
        await self.taker.start()
        subscription = await self.taker.subscribe(self.claimer, mode="manual", cancel=Cancel.TEMPORARY)
        subscription.ask(3)

    async def recover(self) -> None:
        """All is well again: the three jobs arrive."""
        self.shelf.error, self.shelf.jobs = None, [job() for _ in range(5)]
        self.claimer.wake()
        await until(lambda: len(self.taker.taken) == 3)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    for stage in (made.claimer, made.taker):
        await stage.stop(timeout=60)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name == "penstock.claimer"]


DEFECTS = [SchemaMissing("no function"), StatementRefused("no right"), TypeError("of our own")]


@pytest.mark.parametrize("error", DEFECTS, ids=lambda error: type(error).__name__)
async def test_what_repeating_cannot_mend_is_a_defect_said_once_and_the_demand_is_kept(error, pair, caplog):
    """The schema, a right, or this program: the loop goes on looking, and recovers by itself."""
    pair.shelf.error = error
    await pair.start()
    await until(lambda: len(pair.shelf.asked) >= 3)
    assert pair.claimer.defect == f"{type(error).__name__}: {error}"
    assert lines(caplog) == ["ERROR"]
    assert set(pair.shelf.asked) == {3}
    assert len(set(pair.shelf.given_back)) >= 2  # it may have committed whatever went wrong behind it
    await pair.recover()
    await until(lambda: pair.claimer.defect is None)
    assert not pair.claimer.disconnected


async def test_a_database_that_does_not_answer_is_no_defect_and_after_a_few_claims_disconnected(pair, caplog):
    """Warned of each time; what a lost claim took is handed back before the next one."""
    pair.shelf.error = DatabaseUnavailable("gone")
    await pair.start()
    await until(lambda: pair.claimer.disconnected)
    assert pair.claimer.defect is None
    assert len(pair.shelf.asked) >= DISCONNECTED_AFTER
    assert set(lines(caplog)) == {"WARNING"}
    await pair.recover()
    await until(lambda: not pair.claimer.disconnected)
    assert len(set(pair.shelf.given_back)) >= DISCONNECTED_AFTER
