"""Schedules whose leaders are killed and frozen: each tick made exactly one job, compared with a reference.

Short by default. With PENSTOCK_SOAK: a thousand schedules for PENSTOCK_SOAK_SECONDS (an hour is 3600), and the leader
is killed with SIGKILL every twenty seconds; every fifth time it is frozen past its lease and thawed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from penstock.cancellation import cancel_and_wait
from penstock.schedules import Schedule, due_ticks
from penstock.store import Store
from tests.postgres import desk
from tests.support.postgres import Database

LONG = os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"}
SECONDS = float(os.environ.get("PENSTOCK_SOAK_SECONDS", "600")) if LONG else 6.0
SCHEDULES = 1000 if LONG else 50
FAULT_SECONDS = 20.0 if LONG else 2.0
LEASE = 5.0 if LONG else 1.0
LEADERS = 3
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")
HOLDER = "SELECT holder FROM penstock.leader WHERE name = 'maintenance'"
CLAIMED = "SELECT id, headers ->> 'penstock-schedule', headers ->> 'penstock-tick' FROM penstock.job WHERE token = %s"


def declared() -> list[Schedule]:
    """Intervals of a second in the short run; else of ten seconds to five minutes, and a minute by expression."""
    made = []
    for n in range(SCHEDULES):
        common: dict[str, Any] = {"name": f"s{n}", "task": "work", "queue": "q", "missed": "All", "missed_limit": 1000}
        if LONG and n % 2:
            made.append(Schedule(cron="* * * * *", time_zone=ZONES[n % len(ZONES)], jitter_seconds=n % 30, **common))
        else:
            every = timedelta(seconds=10 + n % 290 if LONG else 1)
            made.append(Schedule(every=every, jitter_seconds=n % 7, **common))
    return made


class Leaders:
    """Processes that do maintenance; who leads is killed or frozen, and replaced."""

    def __init__(self, url: str) -> None:
        self._url, self.killed, self.frozen = url, 0, 0
        self.running = [self._start() for _ in range(LEADERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.schedule_leader", self._url, str(LEASE)]
        return subprocess.Popen(command)

    def holder(self, db: psycopg.Connection[Any]) -> subprocess.Popen[bytes] | None:
        row = db.execute(HOLDER).fetchone()
        return next((one for one in self.running if row and row[0] == f"leader-{one.pid}"), None)

    async def disturb(self, db: psycopg.Connection[Any]) -> None:
        """Kill the leader; every fifth time freeze it until another leads, and thaw it."""
        if (leader := self.holder(db)) is None:
            return
        if (self.killed + self.frozen) % 5 == 4:
            leader.send_signal(signal.SIGSTOP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    while self.holder(db) is leader:
                        await asyncio.sleep(0.05)
            leader.send_signal(signal.SIGCONT)
            self.frozen += 1
        else:
            leader.kill()
            leader.wait()
            self.running[self.running.index(leader)] = self._start()
            self.killed += 1

    def stop(self) -> None:
        for one in self.running:
            one.kill()
            one.wait()


async def work(url: str, worker: desk.Worker, seen: Counter[tuple[str, str]]) -> None:
    """Claim and complete every job, counting the tick that it names."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        while True:
            token = desk.token()
            await db.execute("UPDATE penstock.worker SET lease_until = now() + interval '1 min'")
            await db.execute(desk.CLAIM, [worker.id, worker.queue, 500, token])
            rows = await (await db.execute(CLAIMED, [token])).fetchall()
            seen.update((name, tick) for _, name, tick in rows)
            if rows:
                ids = [row[0] for row in rows]
                await db.execute(desk.ACK, [worker.id, ids, [token] * len(ids), ["completed"] * len(ids)])
            await asyncio.sleep(0.05)


@pytest.mark.timeout(max(120.0, SECONDS * 1.5 + 300))
async def test_every_tick_makes_one_job_while_leaders_are_killed_and_frozen(pg_newest: Database):
    """The rows of ticks, the jobs that were claimed and a reference that was computed afterwards are the same."""
    schedules, seen = declared(), Counter[tuple[str, str]]()
    with pg_newest.connect() as db:
        worker = desk.register(db)
        async with Store(pg_newest.url) as store:
            await store.schedules.declare("q", "code", schedules)
            first = {row.name: row.next_at for row in await store.schedules.list()}
            leaders = Leaders(pg_newest.url)
            working = asyncio.create_task(work(pg_newest.url, worker, seen), name="work")
            try:
                until = time.monotonic() + SECONDS
                while time.monotonic() < until:
                    await asyncio.sleep(min(FAULT_SECONDS, max(0.0, until - time.monotonic())))
                    await leaders.disturb(db)
            finally:
                leaders.stop()
            while (await store.schedules.fire_due()).schedules:  # what the last leader left
                pass
            rows = await store.schedules.list()
            fired = fired_ticks(db)
            while sum(seen.values()) < sum(fired.values()):
                assert not working.done()
                await asyncio.sleep(0.05)
            await cancel_and_wait([working])
    reference = expected(schedules, first, {row.name: row.last_tick for row in rows})
    late = [row.name for row in rows if row.next_at is not None and row.next_at < row.now - timedelta(seconds=5)]
    print(
        f"{sum(fired.values())} ticks of {SCHEDULES} schedules; leaders: {leaders.killed} killed, "
        f"{leaders.frozen} frozen; missing {len(reference - fired)}, not expected {len(fired - reference)}, "
        f"jobs that differ {len((seen - reference) + (reference - seen))}"
    )
    assert late == []
    assert fired == reference
    assert seen == reference
    assert leaders.killed > 0


def fired_ticks(db: psycopg.Connection[Any]) -> Counter[tuple[str, str]]:
    """(name, tick) of every row of a tick that became a job."""
    query = """SELECT s.name, to_char(t.tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
      FROM penstock.schedule_tick AS t JOIN penstock.schedule AS s ON s.id = t.schedule WHERE t.job IS NOT NULL"""
    return Counter((name, tick) for name, tick in db.execute(query))


def expected(
    schedules: list[Schedule], first: dict[str, datetime | None], last: dict[str, datetime | None]
) -> Counter[tuple[str, str]]:
    """Every tick from the first to the last of each schedule, once."""
    found = Counter[tuple[str, str]]()
    for one in schedules:
        start, end = first[one.name], last[one.name]
        assert start is not None
        if end is not None:
            ticks = due_ticks(one, start, end, 1_000_000)
            found.update((one.name, tick.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")) for tick in ticks)
    return found
