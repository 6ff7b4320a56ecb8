"""Drain of no-op jobs: a bare SQL loop, Penstock with one and two processes, and what a job costs in CPU.

The bare loop is the least that could call itself a job queue: claim in place, a task per job, delete with a history
row that has an index on the job, batches of 500 over two connections. It knows no token, lease, demand or retry.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import psycopg

from benchmarks._contract import Report
from benchmarks._worker_app import app, noop
from benchmarks._worker_peers import Peer
from benchmarks._worker_site import ROOT, WHOLE_CLAIMS, Site, until, workers

BATCH = 500
LANES = 2
EMPTY_SECONDS = 1.5
"""How long a worker without jobs runs, whose CPU is subtracted: about as long as a drain."""
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


def run_bare(site: Site, jobs: int) -> float:
    """Jobs a second of the bare loop."""
    site.control.execute(BARE_SCHEMA)
    site.control.execute(
        "INSERT INTO bare (task, args) SELECT 'noop', jsonb_build_object('n', n) FROM generate_series(1, %s) AS n",
        [jobs],
    )
    site.control.execute("CHECKPOINT")
    program = "import sys; from benchmarks._worker_drain import bare_process; bare_process(sys.argv[1])"
    command = [sys.executable, "-c", program, site.url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    seconds, ran, distinct = json.loads(printed.splitlines()[-1])
    assert ran == distinct == jobs, f"the bare loop ran {ran} jobs, {distinct} of them distinct, of {jobs}"
    return jobs / float(seconds)


def run_penstock(site: Site, jobs: int, processes: int = 1) -> tuple[float, float, float]:
    """Jobs a second by the database's own times, and CPU microseconds in workers and server, start-up included."""
    site.clear()
    for start in range(0, jobs, 5000):
        app.enqueue_many(noop.job(n) for n in range(start, min(start + 5000, jobs)))
    site.control.execute("CHECKPOINT")
    before = site.server_cpu_us()
    with workers(site, processes, **WHOLE_CLAIMS) as running:
        until(lambda: site.value("SELECT count(*) FROM penstock.outcome") >= jobs, pause=0.1)
        if not jobs:
            time.sleep(EMPTY_SECONDS)
        cpu = sum(one.stop() for one in running)
    server = site.server_cpu_us() - before
    done = site.value("SELECT count(*) FROM penstock.outcome")
    distinct = site.value("SELECT count(DISTINCT job_id) FROM penstock.outcome WHERE state = 'completed'")
    assert done == distinct == jobs, f"{done} outcomes, {distinct} jobs completed, of {jobs}"
    # From the first claim on: starting an interpreter is not draining.
    seconds = site.value(
        "SELECT coalesce(extract(epoch FROM max(finished_at) - min(claimed_at)), 1) FROM penstock.outcome"
    )
    return jobs / seconds, cpu, server


def drain(site: Site, report: Report, *, jobs: int, runs: int, peers: list[Peer]) -> None:
    """Interleave all of them."""
    _, idle_worker, idle_server = run_penstock(site, 0)
    for number in range(1, runs + 1):
        bare = run_bare(site, jobs)
        ours, cpu, server = run_penstock(site, jobs)
        both, cpu_both, _ = run_penstock(site, jobs, processes=2)
        report.add("bare_loop_jobs_per_second", bare, "jobs/s")
        report.add("drain_jobs_per_second", ours, "jobs/s")
        report.add("drain_two_processes_jobs_per_second", both, "jobs/s")
        report.add("drain_vs_bare_loop", ours / bare, "ratio", bar=0.75)
        report.add("worker_cpu_us_per_job", max(0.0, cpu - idle_worker) / jobs, "us", bar=10, better="lower")
        report.add("server_cpu_us_per_job", max(0.0, server - idle_server) / jobs, "us", bar=18, better="lower")
        report.add(
            "worker_cpu_us_per_job_two_processes", max(0.0, cpu_both - 2 * idle_worker) / jobs, "us", better="lower"
        )
        line = f"run {number}: bare loop {bare:,.0f}, penstock {ours:,.0f}, two processes {both:,.0f}"
        for peer in peers:
            rate = peer.drain(site)
            report.add(f"{peer.name}_jobs_per_second", rate, "jobs/s")
            report.add(f"drain_vs_{peer.name}", ours / rate, "ratio", bar=peer.bar)
            line += f", {peer.name} {rate:,.0f}"
        print(f"{line} jobs/s", flush=True)
