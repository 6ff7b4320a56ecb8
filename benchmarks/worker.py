"""The worker beside a bare SQL loop: no-op jobs, one process, history kept, each job counted exactly once.

The bare loop is the least that could call itself a job queue: claim in place, a task per job, delete with a history
row that has an index on the job, batches of 500 over two connections. It knows no token, lease, demand or retry.
`python -m benchmarks worker`; PENSTOCK_BENCH_JOBS and PENSTOCK_BENCH_RUNS change the size (50000 and 5).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import psycopg

from benchmarks._contract import Report
from penstock import App
from penstock.local.postgres import EmbeddedPostgres
from penstock.store import migrate

JOBS = int(os.environ.get("PENSTOCK_BENCH_JOBS", "50000"))
RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "5"))
BATCH = 500
LANES = 2
SERVER = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum_naptime": "10s"}

app = App()


@app.task(name="noop", queue="bench")
async def noop(n: int) -> None:
    """Nothing."""


BARE_SCHEMA = """
DROP TABLE IF EXISTS bare, bare_history;
CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, taken boolean, queue int NOT NULL DEFAULT 1,
                   priority smallint NOT NULL DEFAULT 1, task text NOT NULL, args jsonb NOT NULL)
  WITH (fillfactor = 50);
CREATE INDEX bare_pick ON bare (queue, priority, id);
CREATE TABLE bare_history (id bigint NOT NULL, task text NOT NULL, args jsonb, finished_at timestamptz NOT NULL);
CREATE INDEX bare_history_id ON bare_history (id);
"""
BARE_CLAIM = """UPDATE bare SET taken = true WHERE id = ANY (ARRAY(SELECT id FROM bare WHERE queue = 1 AND priority = 1
  AND taken IS NULL ORDER BY queue, priority, id LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING id, task, args::text"""
BARE_ACK = """WITH gone AS (DELETE FROM bare WHERE id = ANY (%s::bigint[]) RETURNING id, task, args)
  INSERT INTO bare_history SELECT id, task, args, now() FROM gone"""


async def bare_lane(url: str, ran: list[int]) -> None:
    """Claim, run each job as a task, acknowledge, until nothing is left."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            rows = await (await connection.execute(BARE_CLAIM, (BATCH,))).fetchall()
            if not rows:
                return
            tasks = [asyncio.create_task(noop.function(**json.loads(args))) for _, _, args in rows]
            await asyncio.gather(*tasks)
            ran.extend(row[0] for row in rows)
            await connection.execute(BARE_ACK, ("{" + ",".join(str(row[0]) for row in rows) + "}",))


def bare_process(url: str) -> None:
    """The bare loop as a process of its own: prints seconds and jobs."""
    import uvloop  # noqa: PLC0415 - both sides use it

    async def drain() -> list[int]:
        ran: list[int] = []
        await asyncio.gather(*(bare_lane(url, ran) for _ in range(LANES)))
        return ran

    started = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ran = runner.run(drain())
    print(json.dumps([time.perf_counter() - started, len(ran), len(set(ran))]))


def run_bare(url: str, control: psycopg.Connection) -> float:
    """Jobs a second of the bare loop."""
    control.execute(BARE_SCHEMA)
    control.execute(
        "INSERT INTO bare (task, args) SELECT 'noop', jsonb_build_object('n', n) FROM generate_series(1, %s) AS n",
        [JOBS],
    )
    control.execute("CHECKPOINT")
    command = [
        sys.executable,
        "-c",
        "import sys; from benchmarks.worker import bare_process; bare_process(sys.argv[1])",
    ]
    printed = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    seconds, ran, distinct = json.loads(printed.splitlines()[-1])
    assert ran == distinct == JOBS, f"the bare loop ran {ran} jobs, {distinct} of them distinct, of {JOBS}"
    return JOBS / float(seconds)


def run_penstock(url: str, control: psycopg.Connection) -> tuple[float, float]:
    """Jobs a second of one worker process, and CPU microseconds per job in it; by the database's own times."""
    control.execute("TRUNCATE penstock.job, penstock.outcome, penstock.dead, penstock.worker")
    for begin in range(0, JOBS, 5000):
        app.enqueue_many(noop.job(n) for n in range(begin, min(begin + 5000, JOBS)))
    control.execute("CHECKPOINT")
    environment = {
        **os.environ, "PENSTOCK_DATABASE_URL": url, "PENSTOCK_QUEUE": "bench", "PENSTOCK_CONCURRENCY": "500",
        "PENSTOCK_MAX_DEMAND": "1000", "PENSTOCK_MIN_DEMAND": "500", "PENSTOCK_HTTP_PORT": "0",
        "PENSTOCK_LOG_LEVEL": "warning",
    }  # fmt: skip
    command = [sys.executable, "-m", "penstock", "worker", "benchmarks.worker:app", "--queue", "bench"]
    worker = subprocess.Popen(command, env=environment)
    try:
        while (done := _one(control, "SELECT count(*) FROM penstock.outcome")) < JOBS:
            assert worker.poll() is None, "the worker ended"
            time.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(worker.pid, 0)
        worker.returncode = 0
    assert (
        done == JOBS == _one(control, "SELECT count(DISTINCT job_id) FROM penstock.outcome WHERE state = 'completed'")
    )
    # From the first claim on: starting an interpreter is not draining.
    seconds = _one(control, "SELECT extract(epoch FROM max(finished_at) - min(claimed_at)) FROM penstock.outcome")
    return JOBS / float(seconds), (usage.ru_utime + usage.ru_stime) * 1e6 / JOBS


def _one(control: psycopg.Connection, query: str) -> float:
    row = control.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])


def main() -> None:
    """Interleave the two and print."""
    report = Report("worker")
    with EmbeddedPostgres(durable=True, settings=SERVER) as server:
        migrate(server.url)
        os.environ["PENSTOCK_DATABASE_URL"] = server.url
        with psycopg.connect(server.url, autocommit=True) as control:
            for number in range(1, RUNS + 1):
                bare = run_bare(server.url, control)
                ours, cpu = run_penstock(server.url, control)
                print(f"run {number}: bare loop {bare:,.0f} jobs/s, penstock {ours:,.0f} jobs/s", flush=True)
                report.add("bare_loop_jobs_per_second", bare, "jobs/s")
                report.add("drain_jobs_per_second", ours, "jobs/s")
                report.add("drain_vs_bare_loop", ours / bare, "ratio", bar=0.75)
                report.add("worker_cpu_us_per_job", cpu, "us, start-up included", better="lower")
        app.close()
    report.finish()


if __name__ == "__main__":
    main()
