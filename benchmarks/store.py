"""The store's statements against the least SQL that does the same work: one run, one server, batch by batch in turn.

    claim + ack       in batches of 100 and 500, against update in place, delete, history row with an index on the job
    enqueue           one by one, against a bare INSERT; 1,000 by arrays (a login that may only enqueue) and by COPY
                      (the owner), against a bare COPY of as many rows into one table
    depth             one sample of a thousand queues with a million ready jobs, against the least count of them
    waiters           single enqueues with a waiting worker (NOTIFY), against the same without one
    open snapshot     a steady load with retries and unique keys, with a reader whose snapshot stays open and without
    cost              bytes of WAL and microseconds of server CPU per job of each

`python -m benchmarks store`; PENSTOCK_BENCH_JOBS (20000), PENSTOCK_BENCH_RUNS (5) and PENSTOCK_BENCH_HOLD_SECONDS (120;
600 for the whole of the bar) change the size. The picture goes to `benchmarks/out/store.svg`; `python -m
benchmarks.store keep` copies a run to the docs.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import closing
from typing import Final

import psycopg

from benchmarks._contract import OUT, Report
from benchmarks._store_kept import keep
from benchmarks._store_open_snapshot import OFFERED, Steady, best_rate, reader, steady
from benchmarks._store_pictures import picture
from benchmarks._store_site import (
    ARGS,
    SERVER,
    Connection,
    Meter,
    bare_copy,
    bare_work_off,
    clear,
    lsn,
    new,
    one,
    register,
    work_off,
)
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import SyncClient, migrate

JOBS = int(os.environ.get("PENSTOCK_BENCH_JOBS", "20000"))
RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "5"))
HOLD_SECONDS = float(os.environ.get("PENSTOCK_BENCH_HOLD_SECONDS", "120"))
BATCHES: Final = (100, 500)
SINGLES, BULK = 1000, 1000
SAMPLES, DEPTH_QUEUES, DEPTH_ROWS, DEPTH_CAP = 40, 1000, 1_000_000, 100
LEAST_DEPTH = """SELECT q.id, (SELECT count(*) FROM (
  SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.ord IS NOT NULL LIMIT %s) AS s) FROM penstock.queue AS q"""


def measure_drain(db: Connection, client: SyncClient, report: Report, worker: int, queue: int) -> None:
    """Claim and acknowledge; WAL per job includes the enqueue."""
    for batch in BATCHES:
        clear(db)
        db.execute(b"INSERT INTO bare (task, args) SELECT 'noop', %s FROM generate_series(1, %s)", [ARGS, JOBS])
        before = lsn(db)
        for _ in range(JOBS // BULK):
            client.enqueue([new() for _ in range(BULK)])
        enqueued = lsn(db) - before
        db.execute(b"CHECKPOINT")
        ours, bare = Meter(db), Meter(db)
        for _ in range(JOBS // batch):
            assert bare.take(batch, lambda batch=batch: bare_work_off(db, batch)) == batch  # type: ignore[misc]
            assert ours.take(batch, lambda batch=batch: work_off(db, worker, queue, batch)) == batch  # type: ignore[misc]
        assert work_off(db, worker, queue, batch) == 0
        assert one(db, "SELECT count(DISTINCT job_id) FROM penstock.outcome") == JOBS
        report.add(f"claim_ack_{batch}_jobs_per_second", ours.rate, "jobs/s")
        report.add(f"claim_ack_{batch}_vs_minimum", ours.rate / bare.rate, "ratio", bar=0.75)
        report.add(f"server_cpu_us_per_job_{batch}", ours.cpu_seconds / JOBS * 1e6, "us", better="lower")
        report.add(f"server_cpu_us_per_job_{batch}_minimum", bare.cpu_seconds / JOBS * 1e6, "us", better="lower")
        report.add(f"wal_bytes_per_job_{batch}", (enqueued + ours.wal_bytes) / JOBS, "B", bar=1100, better="lower")
        report.add(f"wal_bytes_per_job_{batch}_minimum", bare.wal_bytes / JOBS, "B, claim and ack", better="lower")


def measure_enqueue(db: Connection, client: SyncClient, limited: SyncClient, report: Report) -> None:
    """One by one, by arrays and by COPY."""
    clear(db)
    insert = b"INSERT INTO bare (task, args) VALUES ('noop', '{\"n\": 1}')"
    call = b"SELECT penstock.enqueue('bench', 'noop', '{\"n\": 1}')"
    bare, ours = Meter(db), Meter(db)
    for _ in range(SINGLES):
        bare.take(1, lambda: db.execute(insert))
        ours.take(1, lambda: db.execute(call))
    report.add("single_enqueue_vs_insert", ours.seconds / bare.seconds, "ratio", bar=1.3, better="lower")
    clear(db)
    jobs = [new() for _ in range(BULK)]
    least, arrays, copies = Meter(db), Meter(db), Meter(db)
    for _ in range(JOBS // BULK):
        least.take(BULK, lambda: bare_copy(db, BULK))
        assert len(set(arrays.take(BULK, lambda: limited.enqueue(jobs)))) == BULK
        assert len(set(copies.take(BULK, lambda: client.enqueue(jobs)))) == BULK
    report.add("bare_copy_rows_per_second", least.rate, "rows/s")
    report.add("array_enqueue_jobs_per_second", arrays.rate, "jobs/s")
    report.add("array_enqueue_vs_copy", arrays.rate / least.rate, "ratio", bar=0.5)
    report.add("bulk_enqueue_jobs_per_second", copies.rate, "jobs/s")
    report.add("bulk_enqueue_vs_copy", copies.rate / least.rate, "ratio", bar=0.5)
    report.add("enqueue_wal_bytes_per_job", copies.wal_bytes / copies.jobs, "B", better="lower")


def measure_waiters(db: Connection, report: Report, queue: int) -> None:
    """What a waiter costs those who enqueue; two producers, in short turns."""
    clear(db)
    seconds = {False: 0.0, True: 0.0}
    for waiting in (False, True) * 5:
        if waiting:
            db.execute(b"SELECT penstock.wait_mark(%s, 600, false)", [[queue]])
        seconds[waiting] += _produce(db, SINGLES // 5)
        db.execute(b"UPDATE penstock.queue SET workers_waiting_until = NULL")
    report.add("commits_with_waiters_vs_without", seconds[False] / seconds[True], "ratio", bar=0.85)


def _produce(db: Connection, each: int) -> float:
    """Seconds that two producers take for so many enqueues each, once both are connected."""
    ready = threading.Barrier(3)

    def produce() -> None:
        with psycopg.connect(db.info.dsn, password=db.info.password, autocommit=True) as connection:
            ready.wait()
            for _ in range(each):
                connection.execute(b"SELECT penstock.enqueue('bench', 'noop', '{}')")

    threads = [threading.Thread(target=produce) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def measure_open_snapshot(
    db: Connection, client: SyncClient, report: Report, worker: int, queue: int
) -> tuple[Steady, Steady]:
    """A steady load without and with an open snapshot."""
    offered = best_rate(db, client, worker, queue) * OFFERED
    clear(db)
    clean = steady(db, client, worker, queue, offered=offered, seconds=HOLD_SECONDS)
    clear(db)
    with reader(db):
        slowed = steady(db, client, worker, queue, offered=offered, seconds=HOLD_SECONDS)
    report.add("steady_offered_jobs_per_second", offered, "jobs/s")
    report.add("open_snapshot_vs_clean", slowed.rate / clean.rate, "ratio", bar=0.75)
    for name, found in (("clean", clean), ("slowed", slowed)):
        report.add(f"{name}_claim_ms_p50", found.claims.at(0.5) * 1e3, "ms", better="lower")
        report.add(f"{name}_claim_ms_p99", found.claims.at(0.99) * 1e3, "ms", better="lower")
        report.add(f"{name}_server_cpu_us_per_job", found.cpu_us, "us", better="lower")
    return clean, slowed


def measure_depth(db: Connection, report: Report) -> None:
    """One sample of a thousand queues with a million ready jobs; the table is vacuumed first."""
    clear(db)
    db.execute(
        b"INSERT INTO penstock.queue (name) SELECT 'depth-' || n FROM generate_series(1, %s) AS n", [DEPTH_QUEUES]
    )
    db.execute(
        b"INSERT INTO penstock.job (ord, ready_at, queue, task, args) SELECT n, now(), q.id, 'noop', '{}' "
        b"FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM penstock.queue WHERE name LIKE 'depth-%%') AS q "
        b"JOIN generate_series(1, %s) AS n ON n %% %s = q.r - 1",
        [DEPTH_ROWS, DEPTH_QUEUES],
    )
    db.execute(b"VACUUM ANALYZE penstock.job")
    ours, least = Meter(db), Meter(db)
    for _ in range(SAMPLES):
        sample = b"SELECT * FROM penstock.snapshot(%s, 15)"
        ours.take(1, lambda sample=sample: db.execute(sample, [DEPTH_CAP]).fetchall())  # type: ignore[misc]
        least.take(1, lambda: db.execute(LEAST_DEPTH.encode(), [DEPTH_CAP + 1]).fetchall())
    report.add("depth_1000_queues_ms_p50", ours.at(0.5) * 1e3, "ms", better="lower")
    report.add("depth_1000_queues_ms_p95", ours.at(0.95) * 1e3, "ms", bar=50, better="lower")
    report.add("depth_1000_queues_server_cpu_ms", ours.cpu_seconds / SAMPLES * 1e3, "ms", better="lower")
    report.add("depth_1000_queues_ms_p50_least", least.at(0.5) * 1e3, "ms", better="lower")
    clear(db)
    db.execute(b"DELETE FROM penstock.queue WHERE name LIKE 'depth-%'")


def enqueuer(db: Connection) -> str:
    """Connection settings of a login that may enqueue and nothing else."""
    db.execute(b"CREATE ROLE bench_enqueuer LOGIN PASSWORD 'bench' IN ROLE penstock_enqueuer")
    return f"host={db.info.host} port={db.info.port} dbname={db.info.dbname} user=bench_enqueuer password=bench"


def main() -> None:
    """All of it, and the table, the JSON and the picture."""
    report = Report("store")
    with EmbeddedPostgres(durable=True, settings=SERVER) as server:
        migrate(server.url, roles=True)
        with psycopg.connect(server.url, autocommit=True) as db, closing(SyncClient(server.url)) as client:
            worker, queue = register(db)
            with closing(SyncClient(enqueuer(db))) as limited:
                for number in range(1, RUNS + 1):
                    measure_drain(db, client, report, worker, queue)
                    measure_enqueue(db, client, limited, report)
                    measure_waiters(db, report, queue)
                    print(f"run {number} of {RUNS}", flush=True)
            measure_depth(db, report)
            clean, slowed = measure_open_snapshot(db, client, report, worker, queue)
    report.finish()
    (OUT / "store.svg").write_text(picture(report, clean.every_second, slowed.every_second))


if __name__ == "__main__":
    keep() if sys.argv[1:] == ["keep"] else main()
