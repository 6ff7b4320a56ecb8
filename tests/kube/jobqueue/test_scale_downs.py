"""Scale-downs at random, with jobs longer than every window: no job is interrupted, nobody's claim is rescued.

The windows are those of scaling down (1 s), the poll (2 s) and, in a soak, the lease (3 s); each job takes longer.
Several queues at once, by hand and by themselves, so that drains of many overlap on one operator. A scale-down is one
decrease of a Deployment's replicas. PENSTOCK_SOAK makes it two hundred of them with jobs twice as long;
PENSTOCK_SCALE_DOWNS sets another number, and PENSTOCK_SEED repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.kube.jobqueue.conftest import QUICK, WORKER, JobQueues, Start
from tests.support.pod_lag import Lag
from tests.support.pod_user import writable
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

SOAK = os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"}
SCALE_DOWNS = int(os.environ.get("PENSTOCK_SCALE_DOWNS") or (200 if SOAK else 12))
SEED = int(os.environ.get("PENSTOCK_SEED") or 8)
QUEUES = 4 if SOAK else 2
SECONDS = (6.0, 12.0) if SOAK else (3.2, 5.0)
LEASE = {"PENSTOCK_LEASE_SECONDS": "3"} if SOAK else {}
"""Otherwise a long one: a machine that stalls for seconds would end a short one, and the test with it."""
LAG = Lag(0.0, 10.0 if SOAK else 4.0, seed=SEED)
"""The kubelet's: workers claim before their pod is Ready, and a Ready from before a drain comes after it."""
MAX_REPLICAS = 4
REACHED_SECONDS = 120.0
LONG: dict[str, Any] = QUICK | {
    "worker__app": "tests.kube.jobqueue.long_jobs:app",
    "worker__concurrency": 2,
    "scaling__activation": {"pollPeriodSeconds": 2},
    "scaling__maxReplicas": MAX_REPLICAS,
}


@dataclass(slots=True)
class Ledger:
    """Numbers for jobs, from any thread."""

    given: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> list[int]:
        with self._lock:
            self.given += count
            return list(range(self.given - count, self.given))


@dataclass(slots=True, kw_only=True)
class Queue:
    """One JobQueue under test, driven from a thread of its own."""

    jobqueues: JobQueues
    name: str
    url: str
    ledger: Ledger
    rng: random.Random
    enough: Callable[[], bool]

    def replicas(self) -> int:
        return int(self.jobqueues.deployment(self.name)["spec"]["replicas"])

    def serving(self) -> int:
        return sum(1 for pod in self.jobqueues.pods(self.name) if "deletionTimestamp" not in pod["metadata"])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Asked seldom: several threads and the workers share the machine."""
        deadline, never = time.monotonic() + REACHED_SECONDS, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"{self.name}: not within {REACHED_SECONDS:g} s: {what}"
            never.wait(0.05)

    def enqueue(self, database: psycopg.Connection[Any], count: int) -> None:
        for number in self.ledger.take(count):
            database.execute(
                "SELECT penstock.enqueue(%s, 'long', jsonb_build_object('number', %s::int, 'seconds', %s::float8))",
                [self.name, number, self.rng.uniform(*SECONDS)],
            )

    def claimed(self, database: psycopg.Connection[Any]) -> int:
        row = database.execute(
            "SELECT count(*) FROM penstock.job j JOIN penstock.queue q ON q.id = j.queue "
            "WHERE q.name = %s AND j.token IS NOT NULL",
            [self.name],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def scale(self, replicas: int) -> None:
        self.jobqueues.patch({"spec": {"replicas": replicas}}, name=self.name, subresource="/scale")

    def by_hand(self) -> None:
        """Up to some, jobs for a part of them, down to fewer; now and then back up in the middle of the drain."""
        with psycopg.connect(self.url, autocommit=True) as database:
            while not self.enough():
                before = self.rng.randint(2, MAX_REPLICAS)
                self.scale(before)
                self.until(lambda: self.replicas() == before, f"{before} replicas")  # noqa: B023 - used at once
                self.enqueue(database, self.rng.randint(1, before * 2))
                self.until(lambda: self.claimed(database) > 0, "a job is claimed")
                self.pause(0.0, 1.0)
                after = self.rng.randint(0, before - 1)
                self.scale(after)
                if self.rng.random() < 0.2:
                    self.pause(0.0, 1.0)
                    self.scale(before)
                    self.pause(0.0, 1.0)
                    self.scale(after)
                self.until(lambda: self.replicas() == after == self.serving(), f"{after} replicas")  # noqa: B023
            self.scale(1)

    def by_itself(self) -> None:
        """Bursts of any size at any time; the operator decides."""
        with psycopg.connect(self.url, autocommit=True) as database:
            while not self.enough():
                self.enqueue(database, self.rng.randint(1, MAX_REPLICAS * 2))
                until = time.monotonic() + self.rng.uniform(*SECONDS) * 2
                self.until(lambda: time.monotonic() > until or self.enough(), "time passes")  # noqa: B023

    def pause(self, least: float, maximum: float) -> None:
        """The moment of what comes next is drawn; nothing is waited for."""
        threading.Event().wait(self.rng.uniform(least, maximum))


@pytest.mark.timeout(3600 if SOAK else 600)
def test_scale_downs_at_random_interrupt_no_job(
    jobqueues: JobQueues,
    operator: Start,
    process_pods: Callable[..., ProcessPods],
    pg_url: str,
    database: psycopg.Connection[Any],
    tmp_path: Path,
):
    """Each job starts once and finishes, at its first attempt; only drained pods are removed, and exit with 0."""
    log = writable(tmp_path / "jobs") / "long_jobs.log"
    image = replace(WORKER, env={**WORKER.env, **LEASE, "LONG_JOBS": str(log)})
    pods = process_pods({"shop:1": image}, pace=0.2, lag=LAG)
    jobqueues.secret(pg_url)
    ledger = Ledger()
    process = operator()

    def downs() -> int:
        changes = re.findall(r"deployment scaled .* from=(\d+) to=(\d+)", process.text)
        return sum(int(after) < int(before) for before, after in changes)

    queues = [_queue(jobqueues, number, pg_url, ledger, lambda: downs() >= SCALE_DOWNS) for number in range(QUEUES)]
    for one in queues:
        eventually(lambda: jobqueues.deployment(one.name), "its Deployment is there")  # noqa: B023
    with ThreadPoolExecutor(QUEUES) as threads:
        driven = [threads.submit(one.by_itself if place % 2 else one.by_hand) for place, one in enumerate(queues)]
        for one_driven in driven:
            one_driven.result()
    eventually(lambda: _live(database) == 0, "no job is left", seconds=REACHED_SECONDS)
    exits = pods.exits()
    victims = pods.victims()
    uncosted = [pod for pod, cost in victims.items() if cost is None]
    summary = f"{len(victims)} pods removed, {len(uncosted)} of them without a deletion cost"
    print(f"{downs()} scale-downs, {ledger.given} jobs, {len(exits)} workers ended, {summary}, seed {SEED}")
    assert uncosted == []
    lines = Counter(log.read_text().split("\n"))
    assert [n for n in range(ledger.given) if (lines[f"started {n}"], lines[f"ended {n}"]) != (1, 1)] == []
    assert _strange(database) == []
    assert [each for each in exits if each.code != 0] == []
    assert downs() >= SCALE_DOWNS


def _queue(jobqueues: JobQueues, number: int, url: str, ledger: Ledger, enough: Callable[[], bool]) -> Queue:
    name, by_hand = f"long-{number}", {"scaling__mode": "Fixed", "scaling__maxReplicas": None, "replicas": 1}
    jobqueues.create(name, **(LONG if number % 2 else LONG | by_hand))
    rng = random.Random(SEED * 1000 + number)
    return Queue(jobqueues=jobqueues, name=name, url=url, ledger=ledger, rng=rng, enough=enough)


def _live(database: psycopg.Connection[Any]) -> int:
    row = database.execute("SELECT count(*) FROM penstock.job").fetchone()
    assert row is not None
    return int(row[0])


def _strange(database: psycopg.Connection[Any]) -> list[Any]:
    """Outcomes other than the completion of a first attempt, and dead letters."""
    query = (
        "SELECT job_id, attempt, crashes, state::text FROM penstock.outcome "
        "WHERE attempt <> 1 OR crashes <> 0 OR state <> 'completed' "
        "UNION ALL SELECT id, 0, 0, 'dead' FROM penstock.dead"
    )
    return database.execute(query).fetchall()
