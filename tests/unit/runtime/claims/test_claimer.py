"""Claiming when the database does not answer, refuses, or this program is wrong: demand is kept, the error logged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.errors import DatabaseUnavailable, RowLocked, SchemaMissing, StatementRefused
from penstock.job import ClaimedJob
from penstock.runtime.claims.claimer import DISCONNECTED_AFTER, Claimer
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.stages import CancelMode, Consumer, Subscription
from tests.unit.runtime.support import job, running_state, store_of, until


class Shelf:
    """A store with jobs, or an error instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.jobs: list[ClaimedJob] = []
        self.asked: list[int] = []
        self.released_ids: list[int] = []

    async def claim(self, worker: int, queue: int, name: str, limit: int, token: int) -> list[ClaimedJob]:
        self.asked.append(limit)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return taken

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        self.released_ids.append(token)
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

    def __init__(
        self, shelf: Shelf | None = None, *, queue: int = 1, poll_seconds: float = 0.05, listening: bool = False
    ) -> None:
        self.shelf, self.taker = shelf or Shelf(), Taker()
        self.held_claims = HeldClaims()
        self.claimer = Claimer(
            store=store_of(self.shelf),
            permit=SimpleNamespace(worker=1, queue=queue, may_claim=lambda: True),
            state=running_state(),
            held_claims=self.held_claims,
            metrics=WorkerMetrics(queue="q", tasks=["work"], version="1"),
            queue="q",
            poll_seconds=poll_seconds,
            listening=lambda: listening,
            rng=random.Random(1),
        )

    async def start(self) -> None:
        await self.claimer.start()
        await self.taker.start()
        subscription = await self.taker.subscribe(self.claimer, mode="manual", cancel=CancelMode.TEMPORARY)
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


FATAL_ERRORS = [SchemaMissing("no function"), StatementRefused("no right"), TypeError("of our own")]


@pytest.mark.parametrize("error", FATAL_ERRORS, ids=lambda error: type(error).__name__)
async def test_a_fatal_error_is_logged_once_and_the_demand_is_kept(error, pair, caplog):
    """The schema, a right, or this program: the loop keeps claiming, and recovers by itself."""
    pair.shelf.error = error
    await pair.start()
    await until(lambda: len(pair.shelf.asked) >= 3)
    assert pair.claimer.fatal_error == f"{type(error).__name__}: {error}"
    assert lines(caplog) == ["ERROR"]
    assert set(pair.shelf.asked) == {3}
    assert len(set(pair.shelf.released_ids)) >= 2  # it may have committed whatever failed after it
    await pair.recover()
    await until(lambda: pair.claimer.fatal_error is None)
    assert not pair.claimer.disconnected


async def test_a_database_that_does_not_answer_is_no_fatal_error_and_after_a_few_claims_disconnected(pair, caplog):
    """Warned of each time; what a lost claim took is released before the next one."""
    pair.shelf.error = DatabaseUnavailable("gone")
    await pair.start()
    await until(lambda: pair.claimer.disconnected)
    assert pair.claimer.fatal_error is None
    assert len(pair.shelf.asked) >= DISCONNECTED_AFTER
    assert set(lines(caplog)) == {"WARNING"}
    await pair.recover()
    await until(lambda: not pair.claimer.disconnected)
    assert len(set(pair.shelf.released_ids)) >= DISCONNECTED_AFTER


class Locked(Shelf):
    """A store of which somebody else holds rows: of some jobs, of the worker, or of the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.held_claims: set[int] = set()
        self.released: list[int] = []

    async def release(self, worker: int, jobs: list[ClaimedJob]) -> int:
        if self.held_claims.intersection(one.id for one in jobs):
            raise RowLocked("a job's row")
        self.released += [one.id for one in jobs]
        return len(jobs)

    async def rows(self, name: str, worker: int, ids: str, tokens: str) -> list[tuple[int, list[int]]]:
        assert name == "release_unlocked"
        numbers = [int(number) for number in ids.strip("{}").split(",")]
        free = [number for number in numbers if number not in self.held_claims]
        self.released += free
        return [(len(free), sorted(self.held_claims.intersection(numbers)))]

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        raise RowLocked("the worker's row")

    async def mark_waiting(self, queues: list[int], seconds: float) -> float:
        raise RowLocked("the queue's row")


async def test_rows_that_others_hold_stop_no_claim_and_what_is_locked_is_released_later(caplog):
    """A job to be released, the worker's row after a lost reply, and the queue's: each is tried again by itself."""
    shelf = Locked()
    pair = Pair(shelf, poll_seconds=0.01, listening=True)
    back = [job(), job()]
    pair.held_claims.add(back)
    shelf.held_claims = {back[0].id}
    shelf.error = DatabaseUnavailable("the reply was lost")
    try:
        await pair.start()
        await until(lambda: shelf.asked)
        pair.claimer.release_later(back)
        await pair.recover()
        await until(lambda: shelf.released == [back[1].id])
        assert pair.claimer.may_hold_unknown_claims
        assert not pair.claimer.disconnected
        shelf.held_claims = set()
        await until(lambda: shelf.released == [back[1].id, back[0].id])
    finally:
        for stage in (pair.claimer, pair.taker):
            await stage.stop(timeout=60)
    assert any("another transaction locks" in line for line in caplog.messages)


class Forgetful(Shelf):
    """A store that came back with fewer commits: it ascribes three claims to this worker."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals, self.unknown = 1, 3
        self.reported: list[tuple[object, ...]] = []

    async def value(self, name: str, *values: object) -> int:
        assert name == "release_unknown"
        self.reported.append(values)
        if self.refusals:
            self.refusals -= 1
            raise RowLocked("the worker's row")
        released, self.unknown = self.unknown, 0
        return released


async def test_claims_that_only_the_database_knows_of_are_released_once_it_may_have_lost_commits(caplog):
    """Known claims stay; a locked row is waited for; while the server stays the same nothing is asked."""
    shelf = Forgetful()
    pair = Pair(shelf, queue=7, poll_seconds=0.01)
    kept = job()
    pair.held_claims.add([kept])
    await pair.start()
    pair.claimer.check_claims(moved=False)
    await until(lambda: len(shelf.asked) >= 3)
    assert shelf.reported == []
    pair.claimer.check_claims(moved=True)
    await until(lambda: [record.claims for record in caplog.records if hasattr(record, "claims")] == [3])
    assert shelf.reported == [(kept.worker, 7, f"{{{kept.id}}}", f"{{{kept.token}}}")] * 2
    for stage in (pair.claimer, pair.taker):
        await stage.stop(timeout=60)


class ChangedMeanwhile(Forgetful):
    """Another server takes over while the claims of the one before are being released."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals, self.changed = 0, lambda: None

    async def value(self, name: str, *values: object) -> int:
        changed, self.changed = self.changed, lambda: None
        changed()
        return await super().value(name, *values)


async def test_a_server_that_changes_while_unknown_claims_are_released_is_asked_as_well():
    """The release went to the server before it, whose answer says nothing about the next."""
    shelf = ChangedMeanwhile()
    pair = Pair(shelf, queue=7, poll_seconds=0.01)
    shelf.changed = lambda: pair.claimer.check_claims(moved=True)
    await pair.start()
    pair.claimer.check_claims(moved=True)
    await until(lambda: len(shelf.reported) == 2)
    seen = len(shelf.asked)
    await until(lambda: len(shelf.asked) > seen + 3)
    assert len(shelf.reported) == 2
    for stage in (pair.claimer, pair.taker):
        await stage.stop(timeout=60)
