"""The local loop on a real database: quick from zero, draining before it removes, holding while it cannot see."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from penstock.cancellation import cancel_and_wait
from penstock.dev.autoscaler import Autoscaler
from penstock.dev.processes import WorkerProcess, WorkerProcessState
from penstock.job import NewJob
from penstock.jobqueue.policy import parse_policy
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.scaling import Bound
from penstock.settings import Settings
from penstock.store import DEPTH, AsyncClient, Listener, Registration, Store, WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.postgres import Database

SPEC = {
    "databaseRef": {"secretRef": {"name": "shop"}},
    "worker": {"app": "shop.jobs:app", "template": {"spec": {"containers": [{"name": "worker"}]}}},
    "scaling": {
        "maxReplicas": 2,
        "scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0},
        "onSignalLoss": {"afterSeconds": 1},
    },
}
POLICY = parse_policy({"metadata": {"name": "emails"}, "spec": SPEC})


@dataclass
class RecordingFleet:
    """Workers without processes; records what the autoscaler does, in order."""

    acts: list[str] = field(default_factory=list)
    present: list[WorkerProcess] = field(default_factory=list)

    def workers(self, queue: str) -> list[WorkerProcess]:
        return [worker for worker in self.present if worker.queue == queue]

    def start(self, queue: str, count: int) -> None:
        for _ in range(count):
            name = f"{queue}-{len(self.acts)}"
            self.acts.append(f"start {name}")
            self.present.append(
                WorkerProcess(name=name, queue=queue, state=WorkerProcessState.RUNNING, pid=None, metrics_url="")
            )

    def stop(self, name: str) -> None:
        self.acts.append(f"stop {name}")
        self.present = [worker for worker in self.present if worker.name != name]


@asynccontextmanager
async def running(url: str, *, resting_seconds: float = 1.0) -> AsyncIterator[tuple[Autoscaler, RecordingFleet, Store]]:
    fleet, woken = RecordingFleet(), asyncio.Event()
    async with Store(url) as store:
        settings = worker_settings(POLICY, base=Settings(), database_url=url, direct_url=url)
        declared = declaration(POLICY, settings, declared_by="local", generation=1)
        await store.queues.declare(POLICY.queue_name, declared)
        autoscaler = Autoscaler(
            store=store, fleet=fleet, policies=[POLICY], woken=woken, resting_seconds=resting_seconds
        )
        listener = Listener(url, [DEPTH], lambda *_: woken.set())
        tasks = [
            asyncio.create_task(autoscaler.run(), name="autoscaler"),
            asyncio.create_task(listener.run(), name="listen"),
        ]
        try:
            await until(lambda: listener.listening and bool(autoscaler.queues))
            yield autoscaler, fleet, store
        finally:
            await cancel_and_wait(tasks)


async def until(condition: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.005)


async def enqueue(url: str, count: int) -> None:
    client = AsyncClient(url)
    try:
        await client.enqueue([NewJob(task="shop.jobs:mail", args="{}", queue="emails")] * count)
    finally:
        await client.close()


async def test_an_enqueue_starts_workers_before_the_next_poll(pg_newest: Database) -> None:
    """The next poll would be in ten minutes; the wake-up makes it come at once."""
    async with running(pg_newest.url, resting_seconds=600) as (_, fleet, _store):
        with pg_newest.connect() as connection:
            waiting = "SELECT 1 FROM penstock.queue WHERE operator_waiting_until > clock_timestamp()"
            await until(lambda: connection.execute(waiting).fetchone() is not None)
        await enqueue(pg_newest.url, 20)
        await until(lambda: len(fleet.present) == 2)
    assert fleet.acts == ["start emails-0", "start emails-1"]


async def test_a_worker_is_cordoned_drained_and_only_then_stopped(pg_newest: Database) -> None:
    """A worker with a job in flight is not stopped until it reports that it is drained."""
    registry = WorkerRegistry(pg_newest.url)
    try:
        async with running(pg_newest.url) as (autoscaler, fleet, store):
            await enqueue(pg_newest.url, 2)
            await until(lambda: len(fleet.present) == 1)
            [process] = fleet.present
            worker, queue = await asyncio.to_thread(register, registry, process.name)
            jobs = await store.jobs.claim(worker, queue, "emails", 10, token=7)
            assert len(jobs) == 2
            with pg_newest.connect() as connection:
                connection.execute("DELETE FROM penstock.job")
            await until(lambda: autoscaler.queues[0].leaving == 1)
            state = await asyncio.to_thread(renew, registry, worker, drained=False)
            assert state == "cordoned"
            assert fleet.acts == ["start emails-0"]
            assert await asyncio.to_thread(renew, registry, worker, drained=True) == "drained"
            await until(lambda: not fleet.present)
        assert fleet.acts == ["start emails-0", "stop emails-0"]
    finally:
        registry.close()


def register(registry: WorkerRegistry, pod: str) -> Registration:
    return registry.register(queue="emails", identity="x", version="0", concurrency=5, lease=60.0, pod=pod)


def renew(registry: WorkerRegistry, worker: int, *, drained: bool) -> str | None:
    return registry.renew(worker, lease=60, claims=[], in_flight={}, done={}, drained=drained).state


async def test_a_leaving_worker_is_uncordoned_instead_of_replaced(pg_newest: Database) -> None:
    """New jobs while it drains: its row is running again, and no process is started."""
    registry = WorkerRegistry(pg_newest.url)
    try:
        async with running(pg_newest.url) as (autoscaler, fleet, _store):
            await enqueue(pg_newest.url, 2)
            await until(lambda: len(fleet.present) == 1)
            registered = await asyncio.to_thread(register, registry, fleet.present[0].name)
            with pg_newest.connect() as connection:
                connection.execute("DELETE FROM penstock.job")
            await until(lambda: autoscaler.queues[0].leaving == 1)
            await enqueue(pg_newest.url, 2)
            await until(lambda: autoscaler.queues[0].serving == 1 and autoscaler.queues[0].leaving == 0)
            assert await asyncio.to_thread(renew, registry, registered.worker, drained=False) == "running"
            assert fleet.acts == ["start emails-0"]
    finally:
        registry.close()


async def test_without_the_database_every_count_stays(pg_newest: Database) -> None:
    """The error is reported, and afterwards the autoscaler continues."""
    server = pg_newest.embedded
    if server is None:
        pytest.skip("the server is not ours to stop")
    async with running(pg_newest.url) as (autoscaler, fleet, _store):
        await enqueue(pg_newest.url, 20)
        await until(lambda: len(fleet.present) == 2)
        await asyncio.to_thread(server.stop)
        try:
            await until(lambda: autoscaler.last_error is not None)
            await until(lambda: autoscaler.queues[0].decision.bound is Bound.SIGNAL_LOST)
            assert autoscaler.queues[0].snapshot is None
            assert len(fleet.present) == 2
        finally:
            await asyncio.to_thread(server.start)
        await until(lambda: autoscaler.last_error is None)
        assert len(fleet.present) == 2
        assert [act.split()[0] for act in fleet.acts] == ["start", "start"]
