"""A thousand schedules of one second: from each tick to its job, and what that costs a deferred job in the same time.

    tick to job       created_at of the job less the tick, p50, p99 and maximum over a minute; bar: one second
    promotion         from the due time of a deferred job until it is ready, with the schedules and without
    wrong ticks       ticks of that minute that have no job, or two

One process does the maintenance of a leader and works the jobs off in a thread; `python -m benchmarks schedules`.
PENSTOCK_BENCH_SCHEDULES (1000), PENSTOCK_BENCH_SECONDS (60) and PENSTOCK_BENCH_RUNS (1) change the size.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections import Counter
from datetime import timedelta
from threading import Event
from typing import Final

import psycopg

from benchmarks._contract import Report
from benchmarks._store_site import SERVER, Connection, register
from penstock.cancellation import cancel_and_wait
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.schedules import Schedule
from penstock.store import Maintenance, Store, migrate

SCHEDULES = int(os.environ.get("PENSTOCK_BENCH_SCHEDULES", "1000"))
SECONDS = float(os.environ.get("PENSTOCK_BENCH_SECONDS", "60"))
RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "1"))
WARM_SECONDS: Final = 5.0
CLAIMED: Final = 500
CLAIM: Final = b"SELECT count(*) FROM penstock.claim(%s, %s, %s, %s)"
READ: Final = b"""SELECT extract(epoch FROM created_at - (headers ->> 'penstock-tick')::timestamptz)::double precision,
  extract(epoch FROM (headers ->> 'penstock-tick')::timestamptz)::bigint FROM penstock.job WHERE token = %s"""
ACK: Final = (
    b"SELECT id FROM (SELECT array_agg(id) AS ids FROM penstock.job WHERE token = %s) AS j, penstock.ack(%s, j.ids, %s)"
)
DEFER: Final = b"SELECT penstock.enqueue_many('{deferred}', '{noop}', '{\"{}\"}', p_delays => '{0.5}')"
PROMOTED: Final = b"""DELETE FROM penstock.job AS j USING penstock.queue AS q
  WHERE q.id = j.queue AND q.name = 'deferred' AND j.ord IS NOT NULL
  RETURNING extract(epoch FROM clock_timestamp() - j.ready_at)::double precision"""


def promotions(url: str, stop: Event) -> list[float]:
    """Defer a job ten times a second, and read every five milliseconds how long after its due time one is ready."""
    found = list[float]()
    with psycopg.connect(url, autocommit=True) as db:
        for step in itertools.count():
            if stop.is_set():
                return found
            if step % 20 == 0:
                db.execute(DEFER)
            found.extend(seconds for (seconds,) in db.execute(PROMOTED))
            time.sleep(0.005)
    return found


def work_off(url: str, stop: Event) -> list[tuple[float, int]]:
    """Claim and acknowledge; returns of each job the seconds from its tick to it, and the tick."""
    found = list[tuple[float, int]]()
    with psycopg.connect(url, autocommit=True) as db:
        worker, queue = register(db)
        for token in itertools.count(1):
            ((count,),) = db.execute(CLAIM, [worker, queue, CLAIMED, token]).fetchall()
            if count:
                found.extend(db.execute(READ, [token]).fetchall())
                db.execute(ACK, [token, worker, [token] * count])
            elif stop.is_set():
                return found
            else:
                time.sleep(0.02)
    return found


async def minute(url: str, report: Report, *, schedules: int) -> None:
    """Maintenance for so many seconds with so many schedules."""
    with_or_without = "with schedules" if schedules else "without"
    async with Store(url) as store:
        declared = [
            Schedule(name=f"s{n}", queue="bench", task="noop", every=timedelta(seconds=1), missed="All")
            for n in range(schedules)
        ]
        await store.schedules.declare("bench", "code", declared)
        running = asyncio.create_task(Maintenance(store, "bench", 15.0, time.monotonic).run(), name="maintenance")
        stop = Event()
        work = asyncio.create_task(asyncio.to_thread(work_off, url, stop), name="work")
        probe = asyncio.create_task(asyncio.to_thread(promotions, url, stop), name="probe")
        await asyncio.sleep(WARM_SECONDS + SECONDS)
        await store.schedules.declare("bench", "code", [])
        stop.set()
        jobs, late = await work, await probe
        await cancel_and_wait([running])
    add(report, f"promotion {with_or_without}", late)
    if schedules:
        low = min(tick for _, tick in jobs) + int(WARM_SECONDS)
        kept = [(seconds, tick) for seconds, tick in jobs if low <= tick < low + SECONDS]
        add(report, "tick to job", [seconds for seconds, _ in kept], bar=1.0)
        counts = Counter(tick for _, tick in kept)
        wrong = sum(abs(counts[low + n] - schedules) for n in range(int(SECONDS) - 1))
        report.add("wrong ticks", wrong, "ticks", bar=0, better="lower")
        report.add("jobs of ticks", len(kept), "jobs")


def add(report: Report, name: str, seconds: list[float], *, bar: float | None = None) -> None:
    """Percentiles in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    for key, value in (("p50", cuts[49]), ("p99", cuts[98]), ("maximum", max(seconds))):
        limit = None if bar is None else bar * 1000
        report.add(f"{name}, {key}", value * 1000, "ms", bar=limit, better="lower")


def clear(db: Connection) -> None:
    """Nothing is left of an earlier run."""
    db.execute(b"TRUNCATE penstock.job, penstock.outcome, penstock.schedule, penstock.schedule_tick")


def main() -> None:
    """Each run without and with the schedules, and the table."""
    report = Report("schedules")
    with EmbeddedPostgres(durable=True, settings=SERVER) as server:
        migrate(server.url, roles=True)
        for _ in range(RUNS):
            for schedules in (0, SCHEDULES):
                with psycopg.connect(server.url, autocommit=True) as db:
                    clear(db)
                asyncio.run(minute(server.url, report, schedules=schedules))
    report.finish()


if __name__ == "__main__":
    main()
