"""Workers, children and the database broken at random under tasks that misbehave: what was committed comes out right.

PENSTOCK_SOAK_SECONDS makes it longer and draws other faults each time, PENSTOCK_CHAOS_SEED repeats a run's.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.job import NewJob
from tests.chaos.faults import Faults, children
from tests.chaos.fleet import WORKERS, Producer, Site
from tests.chaos.jobs import QUEUE
from tests.chaos.site import all_serve, open_site, quiet
from tests.chaos.test_store_chaos import SEED
from tests.chaos.verdict import Verdict
from tests.chaos.worker_jobs import APP
from tests.support.postgres import Database, Servers
from tests.support.waiting import eventually

SECONDS = float(os.environ.get("PENSTOCK_SOAK_SECONDS") or 20.0)
WELL = ["wait"] * 4 + ["compute"] * 4 + ["compute_async"] * 2 + ["sole"] * 2
ODD = ["block", "deaf", "fork", "fork_in_child", "flood", "leave", "leave_in_thread", "hang", "poison", "stumble"]
TABLE = """CREATE TABLE ran (job bigint, token bigint, worker bigint, phase text, pid integer,
                             at timestamptz DEFAULT clock_timestamp())"""


class Mixed(Producer):
    """Enqueues what runs well and what does not."""

    def _job(self) -> NewJob:
        rng = self._rng
        task = rng.choice(WELL if rng.random() < 0.8 else ODD)
        args = "{}"
        if task in WELL:
            args = f'{{"seconds": {rng.choice([0, 0, 0.05, 1.5 if task == "sole" else 0.3]):g}}}'
        elif task == "poison":
            args = f'{{"how": "{rng.choice(["exit", "memory", "signal"])}"}}'
        return NewJob(task=task, args=args, queue=QUEUE, priority=rng.randint(0, 3))


class WorkerFaults(Faults):
    """What happens to workers, their children and their connections."""

    def _shuffled(self) -> list[Callable[[], None]]:
        kinds: list[Callable[[], None]] = [
            self.kill_a_worker,
            self.freeze_a_worker,
            self.freeze_a_worker,
            self.kill_a_child,
            self.kill_a_child,
            self.drain_a_worker,
            self.drain_a_worker,
            self.terminate_backends,
            self.restart_the_server,
            self.freeze_the_network,
            self.lose_replies,
        ]
        return self._rng.sample(kinds, len(kinds))

    def kill_a_child(self) -> None:
        """What the kernel does when memory runs out, to one that runs a job or to an idle one."""
        running = [pid for worker in self._site.workers for pid in children(worker.process.pid)]
        if running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._rng.choice(running), signal.SIGKILL)

    def drain_a_worker(self) -> None:
        """As a rollout does, under load."""
        worker = self._rng.choice(self._site.workers)
        served = worker.served
        self._site.workers.remove(worker)
        code = worker.terminate()
        assert code == 0 or not served, f"a drained worker left with {code}: {worker.said[-2000:]}"


@pytest.fixture
def site(servers: Servers, pg_newest: Database, tmp_path) -> Iterator[Site]:
    """The server that gets the faults; the ledger of runs is on another one."""
    with open_site(servers, pg_newest, tmp_path, table=TABLE, app=APP) as made:
        yield made


def exclusively(admin: psycopg.Connection[Any], ledger: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Attempts of `sole` that started while another one of the same job was running, and that finished."""
    (jobs,) = admin.execute("SELECT array_agg(id) FROM penstock.jobs WHERE task = 'sole'").fetchone() or (None,)
    return ledger.execute(
        """SELECT a.job, a.token, b.token FROM ran AS a JOIN ran AS e USING (job, token) JOIN ran AS b USING (job)
           WHERE a.job = ANY (%s) AND a.phase = 'start' AND e.phase = 'end' AND b.phase = 'start'
             AND b.token <> a.token AND b.at BETWEEN a.at AND e.at""",
        [jobs or []],
    ).fetchall()


class WorkerVerdict(Verdict):
    """An exclusive attempt that was cancelled after its last act, because its lease lapsed, is retried uncounted.

    Its lease had run out for the worker, not yet for the database; `exclusively` judges these jobs.
    """

    def __init__(self, admin: psycopg.Connection[Any], ledger: psycopg.Connection[Any]) -> None:
        super().__init__(admin, ledger)
        self._sole = {row[0] for row in admin.execute("SELECT id FROM penstock.jobs WHERE task = 'sole'")}

    def _attempts(self, states: dict[int, str]) -> dict[str, set[Any]]:
        found = super()._attempts(states)
        found["jobs run to their end again although no lease ran out"] -= self._sole
        return found


def judged(site: Site, ledger: psycopg.Connection[Any], producers: list[Mixed]) -> list[str]:
    """All findings: those of any chaos run, and those about children and poison."""
    with site.admin() as admin:
        verdict = WorkerVerdict(admin, ledger)
        findings = verdict.findings(
            set.union(*(p.acknowledged for p in producers)), set.union(*(p.rolled_back for p in producers))
        )
        print(verdict.text)
        checks = {
            "poison that is neither buried nor cancelled": """SELECT id FROM penstock.jobs WHERE task = 'poison'
                AND NOT (state = 'cancelled' OR state = 'dead' AND reason = 'poison' AND crashes = 3)""",
            "jobs that run well and are dead without three crashes": f"""SELECT id FROM penstock.jobs
                WHERE task IN ({", ".join(repr(name) for name in set(WELL))}) AND state = 'dead' AND crashes < 3""",
            "claims that outlived their jobs": "SELECT id FROM penstock.job",
        }
        for what, query in checks.items():
            if rows := admin.execute(query.encode()).fetchall():
                findings.append(f"{what}: {rows[:10]} ({len(rows)})")
        if findings:
            print(admin.execute("SELECT id, task, state, attempt, crashes, reason FROM penstock.jobs").fetchall())
            print(ledger.execute("SELECT job, token, worker, phase, pid, at::text FROM ran ORDER BY at").fetchall())
        if rows := exclusively(admin, ledger):
            findings.append(f"exclusive jobs that ran twice at a time: {rows[:10]}")
    return findings


@pytest.mark.timeout(SECONDS + 800)
def test_every_job_ends_as_it_should_under_faults_of_tasks_and_servers(site, pg_newest):
    """Nothing lost, nothing twice without a crash, poison buried at the third, neighbours finished, no child left."""
    print(f"seed {SEED}, {SECONDS:g} s")
    rng = random.Random(SEED)
    faults, producers = WorkerFaults(site, rng), [Mixed(site, SEED + 100)]
    site.staff()
    eventually(lambda: all_serve(site), "the workers serve")
    for producer in producers:
        producer.start()
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            faults.pause(0.1, 1.5)
            faults.one()
            site.staff()
    finally:
        for producer in producers:
            producer.stop()
    eventually(lambda: quiet(site), f"every job ends (seed {SEED})", seconds=240)
    eventually(lambda: all_serve(site), "the workers serve")
    assert [worker.terminate() for worker in site.workers] == [0] * WORKERS
    with pg_newest.connect() as ledger:
        print(f"faults: {faults.done}")
        assert judged(site, ledger, producers) == [], f"seed {SEED}"
        processes = {row[0] for row in ledger.execute("SELECT DISTINCT pid FROM ran")}
    assert site.ended_by_themselves == []
    eventually(lambda: not [pid for pid in processes if ours(pid)], "no child is left")


def ours(pid: int) -> bool:
    """Whether a process of that id is there and is a worker or a child of these runs."""
    try:
        return b"penstock" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
