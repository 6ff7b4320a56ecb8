"""Many rows: ready ones are worked off while many more are deferred, a tenth of them due; nothing is lost or run twice.

Small by default; PENSTOCK_SOAK makes it a million ready and ten million deferred. What it measures is printed and not
judged: the machine may be busy.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any, TypeVar

import psycopg
import pytest

from penstock.cancellation import cancel_and_wait
from penstock.job import Finished, OutcomeState
from penstock.store import Maintenance, Promotion, Store
from penstock.store.leadership import Leadership
from tests.postgres import desk

LONG = os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"}
READY, DEFERRED = (1_000_000, 10_000_000) if LONG else (4_000, 40_000)
DUE = DEFERRED // 10
SLICE = 200_000
FILL = """INSERT INTO penstock.job (queue, ord, due_at, ready_at, reason, task, args)
  SELECT %(queue)s, CASE WHEN NOT %(deferred)s THEN nextval('penstock.job_ord_seq') END,
         CASE WHEN %(deferred)s THEN now() + CASE WHEN n %% 10 = 0 THEN interval '-1 s' ELSE interval '30 days' END
           + n * interval '1 ms' END,
         CASE WHEN NOT %(deferred)s THEN now() END, CASE WHEN %(deferred)s THEN 'scheduled' END,
         'work', jsonb_build_object('n', n)
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n"""
T = TypeVar("T")


class TimedLeadership(Leadership):
    """Keeps how long each promotion took."""

    def __init__(self, store: Timed) -> None:
        super().__init__(store.connections)
        self._store = store

    async def promote(self, limit: int = 5000) -> Promotion:
        return await self._store.timed("promote", super().promote(limit))


class Timed(Store):
    """A store that keeps how long each call of a kind took, in seconds."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lanes=4)
        self.took: dict[str, list[float]] = defaultdict(list)
        self.leadership = TimedLeadership(self)

    async def timed(self, kind: str, call: Awaitable[T]) -> T:
        started = time.perf_counter()
        try:
            return await call
        finally:
            self.took[kind].append(time.perf_counter() - started)

    def figures(self, kind: str) -> str:
        took = sorted(self.took[kind])
        late = took[int(len(took) * 0.99)]
        return f"{kind}: {len(took)} calls, p50 {statistics.median(took) * 1e3:.1f} ms, p99 {late * 1e3:.1f} ms"


def fill(db: psycopg.Connection[Any], queue: int, count: int, *, deferred: bool) -> None:
    for first in range(1, count + 1, SLICE):
        last = min(first + SLICE - 1, count)
        db.execute(FILL, {"queue": queue, "deferred": deferred, "first": first, "last": last})
    if deferred:  # every tenth is due by now, whatever its number
        db.execute(
            "UPDATE penstock.job SET due_at = now() - (id % 1000) * interval '1 ms' "
            "WHERE due_at < now() + interval '20 days'"
        )


async def work(store: Timed, worker: desk.Worker, count: list[int]) -> None:
    """Claim and end jobs until all are done."""
    while count[0] < READY + DUE:
        jobs = await store.timed("claim", store.jobs.claim(worker.id, worker.queue, "q", 500, desk.token()))
        done = [Finished(job=job, state=OutcomeState.COMPLETED) for job in jobs]
        if done:
            assert await store.timed("ack", store.jobs.ack(worker.id, done)) == []
            count[0] += len(jobs)
        else:
            await asyncio.sleep(0.01)


async def sample(store: Timed, count: list[int]) -> None:
    """What the operator asks, only more often."""
    while count[0] < READY + DUE:
        await store.timed("snapshot", store.queues.snapshot(cap=1000))
        await asyncio.sleep(0.05)


@pytest.mark.timeout(3600 if LONG else 300)
async def test_many_ready_and_many_more_deferred_jobs_are_worked_off_to_the_last(pg_newest, newest):
    """Maintenance, two workers and a sampler at once, until what was ready and due has ended exactly once."""
    worker = desk.register(newest, 3600)
    started = time.perf_counter()
    fill(newest, worker.queue, READY, deferred=False)
    fill(newest, worker.queue, DEFERRED, deferred=True)
    filled = time.perf_counter() - started
    count = [0]
    async with Timed(pg_newest.url) as store:
        maintenance = Maintenance(store=store, holder="soak", lease=60, clock=time.monotonic)
        started = time.perf_counter()
        (state,) = await store.timed("snapshot", store.queues.snapshot(cap=1000))
        assert (state.capped, state.deferred) == (True, 1000)
        running = asyncio.create_task(maintenance.run(), name="maintenance")
        try:
            await asyncio.gather(work(store, worker, count), work(store, worker, count), sample(store, count))
            elapsed = time.perf_counter() - started
            async with asyncio.timeout(60):
                while maintenance.stats.promoted < DUE:  # what was promoted may have ended before maintenance counts it
                    await asyncio.sleep(0.01)
            calls = len(store.took["promote"])
            while LONG and time.perf_counter() - started < elapsed + 30:  # at rest, nine million still wait
                await asyncio.sleep(0.05)
        finally:
            await cancel_and_wait([running])
        (state,) = await store.queues.snapshot(cap=DEFERRED)
    assert maintenance.stats.last_error is None
    assert maintenance.stats.promoted == DUE
    assert (state.ready, state.in_flight, state.deferred) == (0, 0, DEFERRED - DUE)
    ended = "SELECT count(*), count(DISTINCT job_id), bool_and(state = 'completed') FROM penstock.outcome"
    assert newest.execute(ended).fetchone() == (READY + DUE, READY + DUE, True)
    size = newest.execute("SELECT pg_size_pretty(pg_database_size(current_database()))").fetchone()
    rate = (READY + DUE) / elapsed
    rest = store.took["promote"][calls:]
    print(f"\n{READY} ready and {DEFERRED} deferred in {filled:.0f} s, {size[0]}")
    print(f"{READY + DUE} ended in {elapsed:.0f} s, {rate:.0f} a second")
    print(f"at rest {len(rest)} promotions in 30 s took {sum(rest):.2f} s")
    print("; ".join(map(store.figures, ("claim", "ack", "snapshot", "promote"))))
