"""The store's statements beside the least SQL that does the same work, in one run on one server.

    claim + ack       in batches of 100 and 500, beside update in place, delete, history row with an index on the job
    enqueue           one by one beside a bare INSERT; in bulk beside a bare COPY of the same rows into one table
    held snapshot     claim + ack of a steady load while a reader's snapshot is held, beside the same without
    waiters           single enqueues while somebody waits, beside the same while nobody does
    depth             one snapshot of many queues
    WAL               bytes per job, enqueue included

`python -m benchmarks store`; PENSTOCK_BENCH_JOBS, PENSTOCK_BENCH_RUNS and PENSTOCK_BENCH_HOLD_SECONDS change the size.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks._contract import Report
from benchmarks.worker import BARE_ACK, BARE_CLAIM, BARE_SCHEMA
from penstock.job import NewJob, UniqueKey
from penstock.local.postgres import EmbeddedPostgres
from penstock.store import SyncClient, migrate

JOBS = int(os.environ.get("PENSTOCK_BENCH_JOBS", "20000"))
RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "5"))
HOLD_SECONDS = float(os.environ.get("PENSTOCK_BENCH_HOLD_SECONDS", "20"))
SINGLES = 1000
BULK = 1000
DEPTH_QUEUES, DEPTH_ROWS, DEPTH_CAP = 1000, 1_000_000, 100
SERVER = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum_naptime": "10s"}
CLAIM = b"SELECT id FROM penstock.claim(%s, %s, %s, %s)"
ACK = b"SELECT * FROM penstock.ack(%s, %s::bigint[], %s::bigint[], NULL, %s::double precision[])"

Connection = psycopg.Connection[Any]
_tokens = itertools.count(1)


def new(**values: Any) -> NewJob:
    """A job of the benchmark."""
    return NewJob(**{"task": "noop", "args": '{"n": 1}', "queue": "bench", **values})


def register(db: Connection) -> tuple[int, int]:
    """A worker that lives as long as the benchmark; its id and the queue's."""
    query = b"SELECT worker, queue FROM penstock.register('bench', 'bench', NULL, NULL, '0', 1, 86400, '{}')"
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def clear(db: Connection) -> None:
    """Nothing is left of an earlier run."""
    db.execute(b"TRUNCATE penstock.job, penstock.outcome, penstock.dead")
    db.execute(b"CHECKPOINT")


def drain(db: Connection, worker: int, queue: int, batch: int, limit: int) -> int:
    """Claim and acknowledge until `limit` jobs are done or none is left; how many were done."""
    done = 0
    while done < limit:
        token = next(_tokens)
        ids = [row[0] for row in db.execute(CLAIM, (worker, queue, batch, token))]
        if not ids:
            return done
        numbers, tokens = ",".join(map(str, ids)), ",".join([str(token)] * len(ids))
        durations = ",".join(["0.001"] * len(ids))
        assert db.execute(ACK, (worker, f"{{{numbers}}}", f"{{{tokens}}}", f"{{{durations}}}")).fetchall() == []
        done += len(ids)
    return done


def bare_drain(db: Connection, batch: int) -> int:
    """The same with the least SQL."""
    done = 0
    while ids := [row[0] for row in db.execute(BARE_CLAIM.encode(), (batch,))]:
        db.execute(BARE_ACK.encode(), ("{" + ",".join(map(str, ids)) + "}",))
        done += len(ids)
    return done


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_drain(db: Connection, client: SyncClient, report: Report, worker: int, queue: int) -> None:
    """Claim and acknowledge, ours and the least, in turn."""
    for batch in (100, 500):
        db.execute(BARE_SCHEMA.encode())
        db.execute(b"INSERT INTO bare (task, args) SELECT 'noop', '{\"n\": 1}' FROM generate_series(1, %s)", [JOBS])
        db.execute(b"CHECKPOINT")
        bare = JOBS / timed(lambda batch=batch: _exactly(bare_drain(db, batch)))  # type: ignore[misc]
        clear(db)
        before = _lsn(db)
        for _ in range(JOBS // BULK):
            client.enqueue([new() for _ in range(BULK)])
        ours = JOBS / timed(lambda batch=batch: _exactly(drain(db, worker, queue, batch, JOBS)))  # type: ignore[misc]
        report.add(f"claim_ack_{batch}_jobs_per_second", ours, "jobs/s")
        report.add(f"claim_ack_{batch}_vs_minimum", ours / bare, "ratio", bar=0.75)
        report.add(f"wal_bytes_per_job_{batch}", (_lsn(db) - before) / JOBS, "B", bar=1100, better="lower")


def measure_enqueue(db: Connection, client: SyncClient, report: Report) -> None:
    """One by one and in bulk, ours and the least, in turn."""
    db.execute(BARE_SCHEMA.encode())
    clear(db)
    insert = b"INSERT INTO bare (task, args) VALUES ('noop', '{\"n\": 1}')"
    bare = timed(lambda: [db.execute(insert) for _ in range(SINGLES)])
    call = b"SELECT penstock.enqueue('bench', 'noop', '{\"n\": 1}')"
    ours = timed(lambda: [db.execute(call) for _ in range(SINGLES)])
    report.add("single_enqueue_vs_insert", ours / bare, "ratio", bar=1.3, better="lower")
    clear(db)
    copy = timed(lambda: _copy(db))
    jobs = [new() for _ in range(BULK)]
    bulk = timed(lambda: [client.enqueue(jobs) for _ in range(JOBS // BULK)])
    report.add("bulk_enqueue_jobs_per_second", JOBS / bulk, "jobs/s")
    report.add("bulk_enqueue_vs_copy", copy / bulk, "ratio", bar=0.5)


def measure_waiters(db: Connection, report: Report, queue: int) -> None:
    """What a waiter costs those who enqueue; two producers."""
    clear(db)
    rates = []
    for waiting in (False, True):
        if waiting:
            db.execute(b"SELECT penstock.wait_mark(%s, 600, false)", [[queue]])
        else:
            db.execute(b"UPDATE penstock.queue SET workers_waiting_until = NULL")
        rates.append(2 * SINGLES / timed(lambda: _produce(db.info.dsn, db.info.password)))
    report.add("commits_with_waiters_vs_without", rates[1] / rates[0], "ratio", bar=0.85)
    db.execute(b"UPDATE penstock.queue SET workers_waiting_until = NULL")


def measure_held(db: Connection, client: SyncClient, report: Report, worker: int, queue: int) -> None:
    """Jobs a second of a load with unique keys, without and with a held snapshot, marks published meanwhile."""
    rates = []
    for held in (False, True):
        clear(db)
        with _reader(db.info.dsn, db.info.password) if held else _nobody():
            rates.append(_steady(db, client, worker, queue))
    report.add("held_snapshot_vs_clean", rates[1] / rates[0], "ratio", bar=0.75)
    report.add("steady_jobs_per_second", rates[0], "jobs/s")


def _steady(db: Connection, client: SyncClient, worker: int, queue: int) -> float:
    """Enqueue a little, work it off, publish marks once a second; jobs a second."""
    done, serial, marked, ends = 0, itertools.count(), 0.0, time.monotonic() + HOLD_SECONDS
    began = time.perf_counter()
    while time.monotonic() < ends:
        client.enqueue([new(unique=UniqueKey(key=str(next(serial)))) for _ in range(10)] + [new() for _ in range(190)])
        done += drain(db, worker, queue, 100, 200)
        if time.monotonic() - marked > 1:
            marked = time.monotonic()
            db.execute(
                b"SELECT penstock.publish_marks(%s, %s)", db.execute(b"SELECT * FROM penstock.begin_marks()").fetchone()
            )
    return done / (time.perf_counter() - began)


def measure_depth(db: Connection, report: Report) -> None:
    """One look at a thousand queues with a million ready jobs; the table is vacuumed first."""
    clear(db)
    db.execute(
        b"INSERT INTO penstock.queue (name) SELECT 'depth-' || n FROM generate_series(1, %s) AS n", [DEPTH_QUEUES]
    )
    db.execute(
        b"INSERT INTO penstock.job (ord, ready_at, queue, task, args) SELECT n, now(), q.id, 'noop', '{}' "
        b"FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM penstock.queue WHERE name LIKE 'depth-%%') AS q "
        b"JOIN generate_series(1, %s) AS n ON n %% %s = q.r - 1", [DEPTH_ROWS, DEPTH_QUEUES],
    )  # fmt: skip
    db.execute(b"VACUUM ANALYZE penstock.job")
    looks = sorted(
        timed(lambda: db.execute(b"SELECT * FROM penstock.snapshot(%s, 15)", [DEPTH_CAP]).fetchall()) for _ in range(40)
    )
    report.add("depth_1000_queues_ms_p50", looks[20] * 1000, "ms", better="lower")
    report.add("depth_1000_queues_ms_p95", looks[38] * 1000, "ms", bar=50, better="lower")
    clear(db)
    db.execute(b"DELETE FROM penstock.queue WHERE name LIKE 'depth-%'")


def _exactly(done: int) -> None:
    assert done == JOBS, f"{done} jobs were done of {JOBS}"


def _lsn(db: Connection) -> float:
    row = db.execute(b"SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


def _copy(db: Connection) -> None:
    with db.cursor() as cursor, cursor.copy(b"COPY bare (task, args) FROM STDIN") as copy:
        for _ in range(JOBS):
            copy.write_row(("noop", '{"n": 1}'))


def _produce(dsn: str, password: str) -> None:
    def produce() -> None:
        with psycopg.connect(dsn, password=password, autocommit=True) as connection:
            for _ in range(SINGLES):
                connection.execute(b"SELECT penstock.enqueue('bench', 'noop', '{}')")

    threads = [threading.Thread(target=produce) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def _reader(dsn: str, password: str) -> Iterator[None]:
    with psycopg.connect(dsn, password=password) as connection:
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(b"SELECT count(*) FROM penstock.job")
        yield


@contextmanager
def _nobody() -> Iterator[None]:
    yield


def main() -> None:
    """All of it, interleaved."""
    report = Report("store")
    with EmbeddedPostgres(durable=True, settings=SERVER) as server:
        migrate(server.url)
        client = SyncClient(server.url)
        with psycopg.connect(server.url, autocommit=True) as db:
            worker, queue = register(db)
            for number in range(1, RUNS + 1):
                measure_drain(db, client, report, worker, queue)
                measure_enqueue(db, client, report)
                measure_waiters(db, report, queue)
                print(f"run {number} of {RUNS}", flush=True)
            measure_depth(db, report)
            for _ in range(max(1, RUNS // 2)):
                measure_held(db, client, report, worker, queue)
        client.close()
    report.finish()


if __name__ == "__main__":
    main()
