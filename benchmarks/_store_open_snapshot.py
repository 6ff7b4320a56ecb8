"""A steady load while a reader keeps its snapshot open: the cost of dead rows that cannot be removed.

One client offers jobs at a fixed rate and works them off: some with a unique key, some that fail once and come back
through a deferral; it promotes and publishes marks as maintenance does. Offered is a share of what the loop can
do at its best, so that a loop that becomes dearer first shows in CPU and claim times, then in jobs a second.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from benchmarks._store_site import Connection, Meter, acknowledged, claimed, clear, new
from penstock.job import UniqueKey
from penstock.store import SyncClient

BATCH = 100
UNIQUE, RETRIED = 10, 20
"""One job in so many has a unique key; one in so many fails at its first attempt."""
OFFERED = 0.8
WARM_SECONDS = 3.0
RETRY = b"""SELECT * FROM penstock.ack(%s, %s::bigint[], %s::bigint[], array_fill('retry'::text, ARRAY[%s]), NULL,
            array_fill(0.5::double precision, ARRAY[%s]))"""


@dataclass(slots=True)
class Steady:
    """What a time of steady load showed; `every_second` is jobs done in each second."""

    offered: float
    seconds: float
    claims: Meter
    acks: Meter
    done: int = 0
    every_second: list[tuple[float, float]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Jobs done a second."""
        return self.done / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of server CPU per job, claim and acknowledgement."""
        return (self.claims.cpu_seconds + self.acks.cpu_seconds) / self.done * 1e6


def best_rate(db: Connection, client: SyncClient, worker: int, queue: int) -> float:
    """Jobs a second that the loop does when as many are offered as it takes."""
    clear(db)
    return steady(db, client, worker, queue, offered=1e9, seconds=WARM_SECONDS).rate


def steady(db: Connection, client: SyncClient, worker: int, queue: int, *, offered: float, seconds: float) -> Steady:
    """Offer `offered` jobs a second for so long, and work them off."""
    found = Steady(offered, seconds, Meter(db), Meter(db))
    keys, failed, put, maintain_at, second, before = itertools.count(), set[int](), 0, 0.0, 1.0, 0
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        if (due := min(int(offered * now) - put, 2 * BATCH)) >= BATCH:
            client.enqueue(
                [new(unique=UniqueKey(key=f"{next(keys)}")) if n % UNIQUE == 0 else new() for n in range(due)]
            )
            put += due
        ids, token = found.claims.take(0, lambda: claimed(db, worker, queue, BATCH))
        again = [job for job in ids if job % RETRIED == 0 and job not in failed]
        failed.update(again)
        if ended := [job for job in ids if job not in set(again)]:
            found.acks.take(len(ended), lambda ended=ended, token=token: acknowledged(db, worker, ended, token))  # type: ignore[misc]
        if again:
            values = (worker, again, [token] * len(again), len(again), len(again))
            assert db.execute(RETRY, values).fetchall() == []
        found.done += len(ended)
        if now >= maintain_at:
            maintain_at = now + 0.5
            db.execute(b"SELECT penstock.promote(5000)")
            marks = db.execute(b"SELECT * FROM penstock.begin_marks()").fetchone()
            db.execute(b"SELECT penstock.publish_marks(%s, %s)", marks)
        if now >= second:
            found.every_second.append((now, (found.done - before) / (now - second + 1.0)))
            second, before = now + 1.0, found.done
        if not ids:
            time.sleep(0.001)
    return found


@contextmanager
def reader(db: Connection) -> Iterator[None]:
    """A reader whose transaction stays open."""
    with psycopg.connect(db.info.dsn, password=db.info.password) as connection:
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(b"SELECT count(*) FROM penstock.job")
        yield
