"""What the store's benchmark measures with: one server, a worker's loop, the least loop, and a meter of both.

A meter adds up wall time, CPU of the connection's server process and WAL over many short calls, so that two loops can
take turns batch by batch: what disturbs the machine then disturbs both. CPU is read from /proc and absent elsewhere.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from benchmarks._worker_drain import BARE_ACK, BARE_CLAIM, BARE_SCHEMA
from penstock.job import NewJob

T = TypeVar("T")
Connection = psycopg.Connection[Any]

SERVER = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum_naptime": "10s"}
CLAIM = b"SELECT id, task, args FROM penstock.claim(%s, %s, %s, %s)"
ACK = b"SELECT * FROM penstock.ack(%s, %s::bigint[], %s::bigint[], NULL, %s::double precision[])"
ARGS = '{"n": 1}'

_tokens = itertools.count(1)


@dataclass(slots=True)
class Meter:
    """Sums over the calls of one kind on one connection."""

    db: Connection
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    wal_bytes: float = 0.0
    jobs: int = 0
    calls: list[float] = field(default_factory=list)

    def take(self, jobs: int, work: Callable[[], T]) -> T:
        """Do the work, which is for so many jobs."""
        wal, cpu = lsn(self.db), server_cpu(self.db)
        started = time.perf_counter()
        found = work()
        took = time.perf_counter() - started
        self.calls.append(took)
        self.seconds += took
        self.cpu_seconds += server_cpu(self.db) - cpu
        self.wal_bytes += lsn(self.db) - wal
        self.jobs += jobs
        return found

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    def at(self, share: float) -> float:
        """Seconds of a call at this share of all, ordered."""
        return sorted(self.calls)[min(len(self.calls) - 1, int(share * len(self.calls)))]


def server_cpu(db: Connection) -> float:
    """Seconds of CPU of the connection's server process so far; 0 without /proc."""
    try:
        return int(Path(f"/proc/{db.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


def lsn(db: Connection) -> float:
    """Bytes of WAL since the start."""
    return float(one(db, "SELECT pg_current_wal_insert_lsn() - '0/0'"))


def one(db: Connection, query: str, values: Sequence[object] = ()) -> Any:
    """The first value of the first row."""
    row = db.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def new(**values: Any) -> NewJob:
    """A job of the benchmark."""
    return NewJob(**{"task": "noop", "args": ARGS, "queue": "bench", **values})


def register(db: Connection) -> tuple[int, int]:
    """A worker that lives as long as the benchmark; its id and the queue's."""
    query = b"SELECT worker, queue FROM penstock.register('bench', 'bench', NULL, NULL, '0', 1, 86400, '{}')"
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def clear(db: Connection) -> None:
    """Nothing is left of an earlier run, of either kind."""
    db.execute(b"TRUNCATE penstock.job, penstock.outcome, penstock.dead")
    db.execute(BARE_SCHEMA.encode())
    db.execute(b"CHECKPOINT")


def claimed(db: Connection, worker: int, queue: int, batch: int) -> tuple[list[int], int]:
    """Ids of a claim, and its token."""
    token = next(_tokens)
    return [row[0] for row in db.execute(CLAIM, (worker, queue, batch, token)).fetchall()], token


def acknowledged(db: Connection, worker: int, ids: Sequence[int], token: int) -> None:
    """All of them completed; an outcome that was not accepted is an error."""
    numbers, tokens = ",".join(map(str, ids)), ",".join([str(token)] * len(ids))
    durations = ",".join(["0.001"] * len(ids))
    assert db.execute(ACK, (worker, f"{{{numbers}}}", f"{{{tokens}}}", f"{{{durations}}}")).fetchall() == []


def work_off(db: Connection, worker: int, queue: int, batch: int) -> int:
    """One claim and its acknowledgement; how many jobs."""
    ids, token = claimed(db, worker, queue, batch)
    if ids:
        acknowledged(db, worker, ids, token)
    return len(ids)


def bare_work_off(db: Connection, batch: int) -> int:
    """The same with the least SQL: in place, delete, history row with an index on the job."""
    ids = [row[0] for row in db.execute(BARE_CLAIM.encode(), (batch,)).fetchall()]
    db.execute(BARE_ACK.encode(), ("{" + ",".join(map(str, ids)) + "}",))
    return len(ids)


def bare_copy(db: Connection, jobs: int) -> None:
    """So many rows into a bare table."""
    with db.cursor() as cursor, cursor.copy(b"COPY bare (task, args) FROM STDIN") as copy:
        for _ in range(jobs):
            copy.write_row(("noop", ARGS))
