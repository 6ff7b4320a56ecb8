"""A laptop's run on the dashboards: the shop as `penstock dev` runs it, scraped as the example says."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from pathlib import Path
from typing import Any

import yaml

from penstock import App
from penstock.dev.http import MetricsServer
from shop import jobs
from tests.e2e.shop import shop
from tests.monitoring.queries import queries
from tests.monitoring.test_documents import EXAMPLE
from tests.support import prometheus

ONLY_IN_A_CLUSTER = {
    "queue: Paused",
    "queue: Conditions that are not true",
    "queue: Changes of the number of workers",
    "queue: Next ticks of schedules",
    "queue: Late schedules",
    "queue: Ticks without a job",
}
MIX = [
    *(jobs.hello.job(f"Person {number}") for number in range(40)),
    *(jobs.failing_job.job(times=1) for _ in range(4)),
]


def scrape_configs(url: str) -> Any:
    """Those of the example, at this run's address."""
    text = EXAMPLE.read_text().replace("127.0.0.1:9466", url.removeprefix("http://"))
    found = yaml.safe_load(text.replace("refresh_interval: 2s", "refresh_interval: 1s"))
    return found["scrape_configs"]


async def test_the_dashboards_show_a_laptops_run(pg_url: str, tmp_path: Path):
    """Overview, queue and worker stages have numbers; but for what only a cluster has."""
    prometheus.program("prometheus")
    wanted = {
        (where, expression)
        for where, expression, _ in queries("overview", "queue", "workers")
        if where not in ONLY_IN_A_CLUSTER
    }
    async with shop(pg_url, tmp_path) as running:
        with MetricsServer(lambda: running.session.autoscaler.queues) as server:
            enough = asyncio.Event()
            feeding = asyncio.create_task(feed(pg_url, enough), name="feed")
            try:
                left = await asyncio.to_thread(without_data, tmp_path / "prometheus", server.url, wanted)
            finally:
                enough.set()
                await feeding
    assert sorted(left) == []


async def feed(url: str, enough: asyncio.Event) -> None:
    """A job now and then: those that end before their worker was scraped for the first time are in no rate."""
    async with App(url) as app:
        for job in itertools.cycle(MIX):
            if enough.is_set():
                return
            await app.enqueue_many_async([job])
            await asyncio.sleep(0.05)


def without_data(folder: Path, url: str, wanted: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What has had no number after three minutes."""
    start = time.time()
    with prometheus.running(folder, scrape=scrape_configs(url)) as server:
        ends = time.monotonic() + 180
        while wanted and time.monotonic() < ends:
            now = time.time()
            wanted = {one for one in wanted if not has_data(server.over(one[1], start=start, end=now))}
            time.sleep(0.05)
    return wanted


def has_data(found: list[Any]) -> bool:
    return any(math.isfinite(float(value)) for one in found for _, value in one["values"])
