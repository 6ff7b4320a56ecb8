"""What maintenance does on a real server, and what it computes there."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from penstock.backoff import Backoff
from penstock.cancellation import cancel_and_wait
from penstock.store import Maintenance, Promotion, Store
from penstock.store.leadership import Leadership
from penstock.store.maintenance import BATCH
from penstock.store.rows import Overdue
from tests.postgres import desk

RETRIES: list[dict[str, Any]] = [
    {},
    {"strategy": "exponential", "base_seconds": 2.0, "max_seconds": 100.0},
    {"strategy": "linear"},
    {"strategy": "linear", "base_seconds": 700.0},
    {"strategy": "constant"},
    {"strategy": "constant", "base_seconds": 0.5},
]


def test_the_databases_back_off_is_the_workers(pg_newest):
    """The same bounds for the same settings; fifty draws are below half of the most less than once in 10^15."""
    query = "SELECT array_agg(penstock.retry_delay(%s::jsonb, %s::smallint)) FROM generate_series(1, 50)"
    with pg_newest.connect() as db:
        for retry, attempt in itertools.product(RETRIES, (1, 3, 9, 1000)):
            backoff = Backoff(**retry)
            low, high = backoff.delay(attempt, random=lambda: 0.0), backoff.delay(attempt, random=lambda: 1.0)
            drawn = db.execute(query, [json.dumps(retry), attempt]).fetchone()[0]
            assert low <= min(drawn) <= max(drawn) <= high
            assert low == high or max(drawn) > high / 2
        assert 0 <= db.execute("SELECT penstock.retry_delay(NULL, 1::smallint)").fetchone()[0] <= 5


class Slow(Leadership):
    """Chores that take as long as the test says, on a clock of the test's."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.connections)
        store.leadership = self
        self.now, self.takes, self.promotion = 0.0, 0.0, Promotion(0, None)

    async def promote(self, limit: int = 5000) -> Promotion:
        assert limit == BATCH
        self.now += self.takes
        return self.promotion

    async def rescue_overdue(self, holder: str, lease: float) -> Overdue:
        self.now += self.takes
        return Overdue(1, 2)


async def test_what_reads_many_rows_rests_the_longer_the_longer_it_takes():
    """Searches for due jobs take a fifth of a lane at most, for deadlines a twentieth; a full batch goes on at once."""
    store = Store("postgresql://nobody@127.0.0.1:1/nowhere")
    chores = Slow(store)
    maintenance = Maintenance(store=store, holder="x", lease=15, clock=lambda: chores.now)
    pauses = {}
    for chores.takes in (0.001, 0.1, 3.0):
        chores.promotion = Promotion(0, None)
        idle = await maintenance._promote()
        chores.promotion = Promotion(7, 0.01)
        busy = await maintenance._promote()
        chores.promotion = Promotion(BATCH, 0.0)
        assert await maintenance._promote() == 0
        pauses[chores.takes] = (idle, busy, await maintenance._overdue())
    assert pauses[0.001] == pytest.approx((0.75, 0.05, 3.0))
    assert pauses[0.1] == pytest.approx((0.75, 0.4, 3.0))
    assert pauses[3.0] == pytest.approx((12.0, 12.0, 60.0))
    assert (maintenance.stats.overdue, maintenance.stats.promoted) == (9, 3 * (7 + BATCH))


async def test_maintenance_reclaims_a_hung_attempt(store, play, db):
    """Its worker lives and nobody was lost; the loop checks it again and again."""
    worker = desk.register(db)
    db.execute("UPDATE penstock.queue SET job_deadline = '1 min'")
    desk.enqueue(db)
    desk.claim(play.connection("a"), worker, 1, desk.token()).finish()
    db.execute("UPDATE penstock.job SET deadline = now() - interval '1 s'")
    desk.lead_for_long(db, "holder")
    maintenance = Maintenance(store=store, holder="holder", lease=5.0, clock=time.monotonic)
    running = asyncio.create_task(maintenance.run(), name="maintenance")
    try:
        async with asyncio.timeout(60):
            while not maintenance.stats.overdue:  # reported after the commit
                await asyncio.sleep(0.02)
    finally:
        await cancel_and_wait([running])
    assert db.execute("SELECT reason, attempt, crashes FROM penstock.job").fetchall() == [("deadline", 1, 0)]
    assert maintenance.stats.overdue == 1


async def test_cleanup_reclaims_a_job_whose_worker_has_no_row(store, play, db):
    """As if it had been lost."""
    worker = desk.register(db)
    desk.enqueue(db)
    desk.claim(play.connection("a"), worker, 1, desk.token()).finish()
    db.execute("DELETE FROM penstock.worker")
    desk.lead_for_long(db, "holder")
    maintenance = Maintenance(store=store, holder="holder", lease=desk.QUIET_LEASE, clock=time.monotonic)
    assert await maintenance._rescue() == desk.QUIET_LEASE / 5
    assert maintenance.stats.rescued == 0
    assert await maintenance._cleanup() >= 60
    assert maintenance.stats.rescued == 1
    assert db.execute("SELECT reason, crashes FROM penstock.job").fetchall() == [("worker_lost", 1)]


async def test_jobs_that_nobody_holds_are_searched_only_when_asked(store, play, db):
    """The scan costs half a second for a million ready jobs: not with every check for lost workers."""
    worker = desk.register(db)
    desk.enqueue(db)
    desk.claim(play.connection("a"), worker, 1, desk.token()).finish()
    db.execute("DELETE FROM penstock.worker")
    desk.lead_for_long(db)
    assert await store.leadership.rescue("leader", desk.QUIET_LEASE) == (0, 0, 0)
    assert await store.leadership.rescue("leader", desk.QUIET_LEASE, strays=True) == (0, 1, 0)
    assert await store.leadership.rescue("leader", desk.QUIET_LEASE, strays=True) == (0, 0, 0)
