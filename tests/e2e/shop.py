"""The shop on a real database with real worker processes, for the tests of this folder.

`shop()` runs its manifests as `penstock dev` does, with a mail sink beside it. Each worker's metrics are scraped at the
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
from penstock.dev.reaper import Guard
from penstock.dev.run_dev import load_policies
from penstock.dev.session import LocalRun, local_run
from shop.smtp_sink import SmtpSink
from shop.users_api import UsersApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from penstock import NewJob
    from penstock.dev.processes import Member, ProcessFleet

EXAMPLES = Path(__file__).parents[2] / "examples"


class ScrapingFleet:
    """A fleet that reads a member's metrics before it stops it."""

    def __init__(self, fleet: ProcessFleet) -> None:
        self._fleet = fleet
        self.scraped: dict[str, Counter[tuple[str, str]]] = {}
        self.fenced: Counter[str] = Counter()

    def members(self, queue: str) -> Sequence[Member]:
        return self._fleet.members(queue)

    def start(self, queue: str, count: int) -> None:
        self._fleet.start(queue, count)

    def stop(self, name: str) -> None:
        [member] = [one for one in self._fleet.members() if one.name == name]
        self.scrape(member)
        self._fleet.stop(name)

    def scrape(self, member: Member) -> None:
        """Attempts by task and outcome. A member that never served has none."""
        try:
            with urllib.request.urlopen(member.metrics_url, timeout=60) as answer:
                text = answer.read().decode()
        except OSError:
            return
        counts = self.scraped[member.name] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "penstock_jobs_total" and sample.value:
                    counts[sample.labels["task"], sample.labels["outcome"]] += int(sample.value)
                if sample.name == "penstock_fenced_total":
                    self.fenced[member.name] = int(sample.value)

    def totals(self) -> Counter[tuple[str, str]]:
        """Over all members."""
        return sum(self.scraped.values(), Counter())


class Shop:
    """What a test sees: the run, the sink, the fleet as the loop sees it, and plain SQL."""

    def __init__(self, run: LocalRun, fleet: ScrapingFleet, sink: SmtpSink, url: str, log: Path) -> None:
        self.run, self.fleet, self.sink, self.url, self.log = run, fleet, sink, url, log

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, values or None).fetchall()

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[int]:
        async with App(self.url) as app:
            return await app.enqueue_many_async(jobs)

    async def until(self, condition: Callable[[], object], what: str, *, seconds: float = 180) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                said = self.log.read_text()[-3000:]
                raise AssertionError(f"not within {seconds:g} s: {what}; {self.run.loop.queues}; workers: {said}")
            await asyncio.sleep(0.05)

    async def until_at_rest(self, *, seconds: float = 240) -> None:
        """No job is live and no member is left."""
        live = "SELECT 1 FROM penstock.job LIMIT 1"
        await self.until(lambda: not self.run.fleet.members() and not self.sql(live), "all at rest", seconds=seconds)

    def replicas(self, queue: str) -> list[int]:
        """The replica counts that were decided, one after the other."""
        return [0, *(one.after for one in self.run.loop.scaled if one.queue == queue)]


@asynccontextmanager
async def shop(url: str, folder: Path, *, lease_seconds: float = 6.0) -> AsyncIterator[Shop]:
    """The shop's queues while the block runs."""
    guard = Guard()
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
                async with local_run(
                    policies=load_policies([EXAMPLES / "shop" / "jobqueues.yaml"]), database_url=url, log=log,
                    guard=guard, environ=environ, fleet_seen_by_loop=scraping,
                ) as run:  # fmt: skip
                    yield Shop(run, fleets[0], sink, url, folder / "workers.log")
    finally:
        guard.close()
