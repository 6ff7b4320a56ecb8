"""Claims that wait for their release: retried until answered, and a locked row delays nothing else."""

from __future__ import annotations

import random

import pytest

from penstock.errors import DatabaseUnavailable, RowLocked
from penstock.job import ClaimedJob
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.claims.pending_releases import PendingReleases
from penstock.runtime.observe.metrics import WorkerMetrics
from tests.unit.runtime.claims.bench import QUEUE, WORKER, Permit
from tests.unit.runtime.support import job, store_of


class Releases:
    """A store that releases, or raises the next of its errors."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.calls: list[object] = []
        self.unknown = 0

    def _answer(self, call: object) -> None:
        self.calls.append(call)
        if self.errors:
            raise self.errors.pop(0)

    async def release(self, worker: int, jobs: list[ClaimedJob]) -> int:
        self._answer([one.id for one in jobs])
        return len(jobs)

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        assert (worker, queue) == (WORKER, QUEUE)
        self._answer(token)
        return 1

    async def value(self, name: str, *values: object) -> int:
        assert name == "release_unknown"
        self._answer(values)
        return self.unknown


class Bench:
    """Pending releases over that store."""

    def __init__(self) -> None:
        self.now = 100.0
        self.store, self.held_claims = Releases(), HeldClaims()
        self.metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        self.pending = PendingReleases(
            store=store_of(self.store),
            permit=Permit(),
            held_claims=self.held_claims,
            metrics=self.metrics,
            rng=random.Random(1),
            clock=lambda: self.now,
        )

    def hold(self, count: int) -> list[ClaimedJob]:
        jobs = [job() for _ in range(count)]
        self.held_claims.add(jobs)
        return jobs


async def test_nothing_pending_asks_nothing():
    """It is called before each claim."""
    bench = Bench()
    await bench.pending.try_release()
    assert (bench.store.calls, bool(bench.pending)) == ([], False)


async def test_what_was_released_is_forgotten_and_counted():
    """By the store, by the list of held claims, and here."""
    bench = Bench()
    jobs = bench.hold(2)
    bench.pending.add(jobs)
    assert bench.pending
    await bench.pending.try_release()
    await bench.pending.try_release()
    assert bench.store.calls == [[one.id for one in jobs]]
    assert (len(bench.held_claims), bench.metrics.released, bool(bench.pending)) == (0, 2, False)


async def test_a_release_without_an_answer_is_kept():
    """Forgotten here, the claims would stay with a worker that renews its lease."""
    bench = Bench()
    jobs = bench.hold(1)
    bench.pending.add(jobs)
    bench.store.errors = [DatabaseUnavailable("gone")]
    with pytest.raises(DatabaseUnavailable):
        await bench.pending.try_release()
    assert bench.held_claims.still(jobs) == jobs
    await bench.pending.try_release()
    assert bench.store.calls == [[jobs[0].id]] * 2
    assert not bench.pending


async def test_a_lost_claim_is_kept_until_its_release_is_answered():
    """In the order in which they were lost, each once."""
    bench = Bench()
    bench.pending.add_lost_claim(11)
    bench.pending.add_lost_claim(12)
    assert bench.pending.has_lost_claims
    bench.store.errors = [DatabaseUnavailable("gone")]
    with pytest.raises(DatabaseUnavailable):
        await bench.pending.try_release()
    assert bench.pending.has_lost_claims
    await bench.pending.try_release()
    assert bench.store.calls == [11, 11, 12]
    assert not bench.pending.has_lost_claims


async def test_a_locked_row_raises_nothing_and_is_retried_after_a_growing_pause(caplog):
    """Claims go on meanwhile; when the row is free the pause starts over."""
    bench = Bench()
    bench.pending.add_lost_claim(11)
    bench.store.errors = [RowLocked("the worker's row")] * 8
    pauses = []
    for _ in range(8):
        before = len(bench.store.calls)
        started = bench.now
        while len(bench.store.calls) == before:
            await bench.pending.try_release()
            bench.now += 0.01
        pauses.append(bench.now - started)
    assert pauses[0] == pytest.approx(0.01)
    assert min(pauses[1:]) >= 0.05
    assert max(pauses) > 0.4
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 8
    bench.now += 10
    await bench.pending.try_release()
    assert not bench.pending
    bench.pending.add_lost_claim(12)
    await bench.pending.try_release()
    assert bench.store.calls[-1] == 12


async def test_unknown_claims_are_checked_once_against_the_claims_of_this_registration():
    """Claims of an earlier registration are not this worker's; the number released is counted."""
    bench = Bench()
    mine, earlier = bench.hold(1)[0], job(worker=WORKER + 1)
    bench.held_claims.add([earlier])
    bench.store.unknown = 3
    bench.pending.add_unknown()
    bench.pending.add_unknown()
    await bench.pending.try_release()
    await bench.pending.try_release()
    assert bench.store.calls == [(WORKER, QUEUE, f"{{{mine.id}}}", f"{{{mine.token}}}")]
    assert (bench.metrics.released, bool(bench.pending)) == (3, False)
