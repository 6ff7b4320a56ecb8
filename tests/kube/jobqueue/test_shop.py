"""The main job, whole, on a real API server: the shop's file applied as it is, 0 -> N -> 0, every job accounted for."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from penstock import App
from shop import jobs
from shop.pictures import pictures
from shop.smtp_sink import SmtpSink
from tests.kube.jobqueue.conftest import BIN, JobQueues, Start
from tests.support.pod_env import Image
from tests.support.pod_user import writable
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually
from tests.unit.jobqueue.examples import REPOSITORY

QUEUES = ("emails", "images", "analytics", "reports")
NEVER_SUCCEED = 8
MIX = [
    *(jobs.hello.job(f"Person {number}") for number in range(30)),
    *(jobs.send_welcome_email.job(user_id) for user_id in range(150)),
    *(jobs.resize_image.job(name, side, side) for name in pictures() for side in range(20, 180, 20)),
    *(jobs.heavy_job.job(ms=5) for _ in range(248)),
    *(jobs.failing_job.job(times=1 + number % 2) for number in range(16)),
    *(jobs.failing_job.job() for _ in range(NEVER_SUCCEED)),
]
FINAL = "SELECT job_id, count(*) FROM penstock.outcome WHERE final GROUP BY job_id"
TWICE = "SELECT job_id, token, count(*) FROM penstock.outcome GROUP BY job_id, token HAVING count(*) > 1"
ENDS = "SELECT state, count(*) FROM penstock.jobs GROUP BY state"
BY_OUTCOME = "SELECT task, state, count(*) FROM penstock.outcome GROUP BY task, state"


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    """A mail server that keeps what it gets."""
    async with SmtpSink() as started:
        yield started


@pytest.fixture
def lease_seconds() -> str:
    """Longer than a busy machine stalls: what is rescued runs twice, and a test here counts what ran."""
    return "15"


@pytest.fixture
def pods(sink: SmtpSink, process_pods: Callable[..., ProcessPods], lease_seconds: str, tmp_path: Path) -> ProcessPods:
    """Pods of the shop's image."""
    env = {
        "PATH": f"{BIN}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(REPOSITORY / "examples"),
        "SHOP_SMTP": sink.address,
        "SHOP_OUTPUT": str(writable(tmp_path / "pictures")),
        "PENSTOCK_LEASE_SECONDS": lease_seconds,
    }
    return process_pods({"penstock-shop:latest": Image(env=env, folder=tmp_path)}, pace=0.2)


class Scraper:
    """The workers' own counts, read as each is about to be ended: it has drained then, and they go with its process."""

    def __init__(self, pods: ProcessPods) -> None:
        self._found = dict[str, Counter[tuple[str, str]]]()
        pods.before_end = self._scrape

    def _scrape(self, pod: str, address: str) -> None:
        try:
            with urllib.request.urlopen(f"http://{address}:9464/metrics", timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            return  # it has not started yet, and so has claimed nothing
        self._found[pod] = Counter(
            {
                (sample.labels["task"], sample.labels["outcome"]): int(sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "penstock_jobs_total" and sample.value
            }
        )

    def totals(self) -> Counter[tuple[str, str]]:
        return sum(self._found.values(), Counter())


def rows(database: psycopg.Connection[Any], query: str) -> list[Any]:
    return database.execute(query.encode()).fetchall()


def apply(jobqueues: JobQueues) -> None:
    """The shop's file as it is."""
    text = (REPOSITORY / "examples" / "shop" / "jobqueues.yaml").read_text()
    for document in yaml.safe_load_all(text):
        jobqueues.api.apply(jobqueues.path(document["metadata"]["name"]), document)


async def enqueue(url: str, mix: list[Any]) -> list[int]:
    async with App(url) as app:
        return await app.enqueue_many_async(mix)


def at_rest(jobqueues: JobQueues, database: psycopg.Connection[Any]) -> bool:
    """No job is live, no replica asked for, no pod left."""
    live = rows(database, "SELECT 1 FROM penstock.job LIMIT 1")
    return not live and not any(
        jobqueues.deployment(name)["spec"]["replicas"] or jobqueues.pods(name) for name in QUEUES
    )


def until_at_rest(jobqueues: JobQueues, database: psycopg.Connection[Any]) -> None:
    """Wait for it."""
    eventually(lambda: at_rest(jobqueues, database), "all at rest", seconds=250)


def activated(jobqueues: JobQueues) -> set[str]:
    """The queues that had an event that reports the way from zero."""
    return {one["regarding"]["name"] for one in jobqueues.events() if one["reason"] == "Activated"}


@pytest.fixture
def ready(jobqueues: JobQueues, operator: Start, pg_url: str, pods: ProcessPods) -> Any:
    """The four queues applied and served; the operator's process."""
    jobqueues.secret(pg_url)
    apply(jobqueues)
    process = operator()
    for name in QUEUES:
        eventually(lambda name=name: jobqueues.conditions(name).get("Ready") == ("True", "Ready"), f"{name} is ready")  # type: ignore[misc]
    return process


async def test_five_hundred_mixed_jobs_from_zero_to_zero_and_every_one_is_accounted_for(
    ready: Any,
    jobqueues: JobQueues,
    pods: ProcessPods,
    sink: SmtpSink,
    pg_url: str,
    database: psycopg.Connection[Any],
    tmp_path: Path,
):
    """Ends, effects, replica counts, exit codes, and the workers' metrics against the store's counts.

    The queue with steps gives nothing out until its second step is taken, so that no worker is too quick for it.
    """
    assert len(MIX) == 500
    assert rows(database, "SELECT penstock.pause('analytics', true)") == [(True,)]
    ids, scraper = await enqueue(pg_url, MIX), Scraper(pods)

    def stepped() -> bool:
        return bool(jobqueues.deployment("analytics")["spec"]["replicas"] > 1)

    await asyncio.to_thread(eventually, stepped, "a second step")
    rows(database, "SELECT penstock.pause('analytics', false)")
    await asyncio.to_thread(until_at_rest, jobqueues, database)
    assert dict(rows(database, ENDS)) == {"completed": len(MIX) - NEVER_SUCCEED, "dead": NEVER_SUCCEED}
    assert dict(rows(database, FINAL)) == dict.fromkeys(ids, 1)
    assert rows(database, TWICE) == []
    assert sink.message_ids == Counter({f"<welcome-{number}@shop.example.com>": 1 for number in range(150)})
    assert len(list((tmp_path / "pictures").iterdir())) == len(pictures()) * 8
    assert activated(jobqueues) == set(QUEUES)
    assert {each.code for each in pods.exits()} == {0}
    stored = Counter({(task, state): count for task, state, count in rows(database, BY_OUTCOME)})
    assert scraper.totals() == stored


@pytest.mark.parametrize("lease_seconds", ["4"], ids=["a short lease"])
async def test_a_killed_pod_and_a_killed_operator_lose_nothing_and_nothing_is_accepted_twice(
    ready: Any, jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Kill -9 of a worker that holds jobs, then of the operator: replicas come right again, each job ends once."""
    ids = await enqueue(pg_url, [jobs.hello.job(f"Person {number}") for number in range(60)])
    claimed = (
        "SELECT w.pod FROM penstock.job j JOIN penstock.worker w ON w.id = j.worker GROUP BY 1 ORDER BY count(*) DESC"
    )
    (victim,) = (await asyncio.to_thread(eventually, lambda: rows(database, claimed), "a pod holds jobs"))[0]
    pods.signal(victim, signal.SIGKILL)
    ready.stop(signal.SIGKILL)
    operator()
    await asyncio.to_thread(until_at_rest, jobqueues, database)
    assert dict(rows(database, ENDS)) == {"completed": len(ids)}
    assert dict(rows(database, FINAL)) == dict.fromkeys(ids, 1)
    assert rows(database, TWICE) == []
    assert Counter(each.code for each in pods.exits())[137] == 1
