"""The local loop on a real database: quick from zero, draining before it removes, holding while it cannot see."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from penstock.cancellation import cancel_and_wait
from penstock.dev.autoscaler import Loop
from penstock.dev.processes import Member, MemberState
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
    """Members without processes; what the loop did is kept in order."""

    acts: list[str] = field(default_factory=list)
    present: list[Member] = field(default_factory=list)

    def members(self, queue: str) -> list[Member]:
        return [member for member in self.present if member.queue == queue]

    def start(self, queue: str, count: int) -> None:
        for _ in range(count):
            name = f"{queue}-{len(self.acts)}"
            self.acts.append(f"start {name}")
            self.present.append(Member(name=name, queue=queue, state=MemberState.RUNNING, pid=None, metrics_url=""))

    def stop(self, name: str) -> None:
        self.acts.append(f"stop {name}")
        self.present = [member for member in self.present if member.name != name]


@asynccontextmanager
async def running(url: str, *, resting_seconds: float = 1.0) -> AsyncIterator[tuple[Loop, RecordingFleet, Store]]:
    fleet, woken = RecordingFleet(), asyncio.Event()
    async with Store(url) as store:
        settings = worker_settings(POLICY, base=Settings(), database_url=url, direct_url=url)
        told = declaration(POLICY, settings, declared_by="local", generation=1)
        await store.queues.declare(POLICY.queue_name, **told)
        loop = Loop(store=store, fleet=fleet, policies=[POLICY], woken=woken, resting_seconds=resting_seconds)
        listener = Listener(url, [DEPTH], lambda *_: woken.set())
        tasks = [asyncio.create_task(loop.run(), name="loop"), asyncio.create_task(listener.run(), name="listen")]
        try:
            await until(lambda: listener.listening and bool(loop.queues))
            yield loop, fleet, store
        finally:
            await cancel_and_wait(tasks)


async def until(condition: Callable[[], bool], within: float = 60) -> None:
    ends = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends, "the condition never came true"
        await asyncio.sleep(0.005)


async def enqueue(url: str, count: int) -> None:
    client = AsyncClient(url)
    try:
        await client.enqueue([NewJob(task="shop.jobs:mail", args="{}", queue="emails")] * count)
    finally:
        await client.close()


async def test_an_enqueue_starts_members_at_once_and_not_at_the_next_look(pg_newest: Database) -> None:
    """The next look by itself would be in ten minutes: it is the wake-up that brings this one."""
    async with running(pg_newest.url, resting_seconds=600) as (_, fleet, _store):
        with pg_newest.connect() as connection:
            asked = "SELECT 1 FROM penstock.queue WHERE operator_waiting_until > clock_timestamp()"
            await until(lambda: connection.execute(asked).fetchone() is not None)
        await enqueue(pg_newest.url, 20)
        await until(lambda: len(fleet.present) == 2)
    assert fleet.acts == ["start emails-0", "start emails-1"]


async def test_a_member_is_cordoned_drained_and_only_then_stopped(pg_newest: Database) -> None:
    """The worker that holds a job is left alone until its own report says that it holds none."""
    registry = WorkerRegistry(pg_newest.url)
    try:
        async with running(pg_newest.url) as (loop, fleet, store):
            await enqueue(pg_newest.url, 2)
            await until(lambda: len(fleet.present) == 1)
            [member] = fleet.present
            worker, queue = await asyncio.to_thread(register, registry, member.name)
            jobs = await store.jobs.claim(worker, queue, "emails", 10, token=7)
            assert len(jobs) == 2
            with pg_newest.connect() as connection:
                connection.execute("DELETE FROM penstock.job")
            await until(lambda: loop.queues[0].leaving == 1)
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
    return registry.renew(worker, lease=60, held=[], in_flight={}, done={}, drained=drained).state


async def test_a_leaving_member_is_called_back_rather_than_replaced(pg_newest: Database) -> None:
    """New jobs while it drains: its row says running again, and nobody is started."""
    registry = WorkerRegistry(pg_newest.url)
    try:
        async with running(pg_newest.url) as (loop, fleet, _store):
            await enqueue(pg_newest.url, 2)
            await until(lambda: len(fleet.present) == 1)
            registered = await asyncio.to_thread(register, registry, fleet.present[0].name)
            with pg_newest.connect() as connection:
                connection.execute("DELETE FROM penstock.job")
            await until(lambda: loop.queues[0].leaving == 1)
            await enqueue(pg_newest.url, 2)
            await until(lambda: loop.queues[0].serving == 1 and loop.queues[0].leaving == 0)
            assert await asyncio.to_thread(renew, registry, registered.worker, drained=False) == "running"
            assert fleet.acts == ["start emails-0"]
    finally:
        registry.close()


async def test_while_the_database_is_away_every_count_stays(pg_newest: Database) -> None:
    """Nothing is read into an error; the reason is told; afterwards the loop goes on."""
    server = pg_newest.embedded
    if server is None:
        pytest.skip("the server is not ours to stop")
    async with running(pg_newest.url) as (loop, fleet, _store):
        await enqueue(pg_newest.url, 20)
        await until(lambda: len(fleet.present) == 2)
        await asyncio.to_thread(server.stop)
        try:
            await until(lambda: loop.last_error is not None)
            await until(lambda: loop.queues[0].decision.bound is Bound.SIGNAL_LOST)
            assert loop.queues[0].snapshot is None
            assert len(fleet.present) == 2
        finally:
            await asyncio.to_thread(server.start)
        await until(lambda: loop.last_error is None)
        assert len(fleet.present) == 2
        assert [act.split()[0] for act in fleet.acts] == ["start", "start"]
