"""The shop on a real database with real worker processes, for the tests of this folder.

`shop()` runs its manifests as `penstock dev` does, together with a mail sink. Each worker's metrics are scraped at the
last moment, when it is drained and about to be stopped, because they end with its process.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from penstock import App
from penstock.dev.reaper import Reaper
from penstock.dev.run_dev import load_policies
from penstock.dev.session import Session, open_session
from shop.smtp_sink import SmtpSink
from shop.users_api import UsersApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from penstock import NewJob
    from penstock.dev.processes import ProcessFleet, WorkerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


class ScrapingFleet:
    """A fleet that reads a worker's metrics before stopping it."""

    def __init__(self, fleet: ProcessFleet) -> None:
        self._fleet = fleet
        self.scraped: dict[str, Counter[tuple[str, str]]] = {}
        self.fenced: Counter[str] = Counter()

    def workers(self, queue: str) -> Sequence[WorkerProcess]:
        return self._fleet.workers(queue)

    def start(self, queue: str, count: int) -> None:
        self._fleet.start(queue, count)

    def stop(self, name: str) -> None:
        [worker] = [one for one in self._fleet.workers() if one.name == name]
        self.scrape(worker)
        self._fleet.stop(name)

    def scrape(self, worker: WorkerProcess) -> None:
        """Attempts by task and outcome; none for a worker that never served."""
        try:
            with urllib.request.urlopen(worker.metrics_url, timeout=60) as answer:
                text = answer.read().decode()
        except OSError:
            return
        counts = self.scraped[worker.name] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "penstock_jobs_total" and sample.value:
                    counts[sample.labels["task"], sample.labels["outcome"]] += int(sample.value)
                if sample.name == "penstock_fenced_total":
                    self.fenced[worker.name] = int(sample.value)

    def totals(self) -> Counter[tuple[str, str]]:
        """Of all workers."""
        return sum(self.scraped.values(), Counter())


class Shop:
    """The session, the mail sink, the fleet of the autoscaler, and SQL."""

    def __init__(self, session: Session, fleet: ScrapingFleet, sink: SmtpSink, url: str, log: Path) -> None:
        self.session, self.fleet, self.sink, self.url, self.log = session, fleet, sink, url, log

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, values or None).fetchall()

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[int]:
        async with App(self.url) as app:
            return await app.enqueue_many_async(jobs)

    async def until(self, condition: Callable[[], object], what: str, *, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                output = self.log.read_text()[-3000:]
                queues = self.session.autoscaler.queues
                raise AssertionError(f"timed out after {seconds:g} s: {what}; {queues}; workers: {output}")
            await asyncio.sleep(0.05)

    async def until_at_rest(self, *, seconds: float = 240) -> None:
        """Wait until no job is live and no worker is left."""
        live = "SELECT 1 FROM penstock.job LIMIT 1"
        await self.until(
            lambda: not self.session.fleet.workers() and not self.sql(live),
            "no job and no worker left",
            seconds=seconds,
        )

    def replicas(self, queue: str) -> list[int]:
        """The replica counts of the decisions, in order."""
        return [0, *(one.after for one in self.session.autoscaler.scaled if one.queue == queue)]


@asynccontextmanager
async def shop(url: str, folder: Path, *, lease_seconds: float = 6.0) -> AsyncIterator[Shop]:
    """The shop's queues while the block runs."""
    reaper = Reaper()
    fleets: list[ScrapingFleet] = []

    def scraping(fleet: ProcessFleet) -> ScrapingFleet:
        fleets.append(ScrapingFleet(fleet))
        return fleets[0]

    try:
        async with SmtpSink() as sink:
            with UsersApi() as users, (folder / "workers.log").open("ab") as log:
                environ = {**os.environ, "PYTHONPATH": str(EXAMPLES), "SHOP_SMTP": sink.address}
                environ |= {"SHOP_OUTPUT": str(folder / "output"), "SHOP_USERS": users.url}
                environ |= {"PENSTOCK_LEASE_SECONDS": f"{lease_seconds:g}"}
                async with open_session(
                    policies=load_policies([EXAMPLES / "shop" / "jobqueues.yaml"]),
                    database_url=url,
                    log=log,
                    reaper=reaper,
                    environ=environ,
                    wrap_fleet=scraping,
                ) as session:
                    yield Shop(session, fleets[0], sink, url, folder / "workers.log")
    finally:
        reaper.close()
