"""A wake-up names its queue: the operator samples that one, and learns nothing less than by a sample of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from penstock.jobqueue.declaration import QueueDeclaration
from penstock_operator.database.address import Address
from penstock_operator.database.client import DatabaseClient
from tests.support.postgres import Database

NAMES = ["emails", "reports", "images"]
SECONDS = 60.0


@pytest.fixture
async def woken() -> asyncio.Event:
    """Set by each wake-up."""
    return asyncio.Event()


@pytest.fixture
async def client(pg_newest: Database, woken: asyncio.Event) -> AsyncIterator[DatabaseClient]:
    """The operator's side of a database with three queues at rest, whose marks are set and settled."""
    url = pg_newest.url
    made = DatabaseClient(address=Address(url=url, direct_url=url), holder="test", woken=woken.set)
    await made.open()
    for name in NAMES:
        await made.declare(name, QueueDeclaration(declared_by=name))
    states = await made.sample(NAMES)
    made.rest(state.id for state in states.values())
    async with asyncio.timeout(SECONDS):
        while await made.pause(15.0) < 1.0:
            await made.sample(NAMES)
    woken.clear()
    yield made
    await made.stop()


@pytest.fixture
def enqueue(newest: psycopg.Connection) -> Callable[..., None]:
    """Enqueue a job to a queue; committed at once."""

    def one(queue: str) -> None:
        newest.execute("SELECT penstock.enqueue(p_queue => %s, p_task => 'a', p_args => '{}')", [queue])

    return one


async def test_only_the_queue_that_was_notified_is_sampled(
    client: DatabaseClient, woken: asyncio.Event, enqueue: Callable[..., None]
):
    """And it is sampled once: the next sample of some has nothing new."""
    enqueue("reports")
    await asyncio.wait_for(woken.wait(), SECONDS)
    states = await client.sample([], some=True)
    assert {name: state.ready for name, state in states.items()} == {"reports": 1}
    assert await client.sample([], some=True) == {}


async def test_what_is_asked_for_comes_with_what_was_notified(
    client: DatabaseClient, woken: asyncio.Event, enqueue: Callable[..., None]
):
    """A pod of one queue has changed while jobs came to another."""
    enqueue("images")
    await asyncio.wait_for(woken.wait(), SECONDS)
    states = await client.sample(["emails"], some=True)
    assert {name: state.ready for name, state in states.items()} == {"emails": 0, "images": 1}


async def test_a_notification_that_does_not_name_a_queue_means_all_of_them(
    client: DatabaseClient, woken: asyncio.Event, newest: psycopg.Connection
):
    """As after a reconnect, when those that were sent meanwhile are gone."""
    newest.execute("SELECT pg_notify('penstock_depth', 'no number')")
    await asyncio.wait_for(woken.wait(), SECONDS)
    assert set(await client.sample([], some=True)) == set(NAMES)


async def test_notifications_of_queues_without_a_jobqueue_wake_nobody(
    client: DatabaseClient, woken: asyncio.Event, newest: psycopg.Connection, enqueue: Callable[..., None]
):
    """Who may send notifications can name any number of queues, which cost the operator nothing."""
    for number in range(200):
        newest.execute("SELECT pg_notify('penstock_depth', %s)", [str(10**6 + number)])
    enqueue("emails")  # sent after them, so they have arrived before
    await asyncio.wait_for(woken.wait(), SECONDS)
    assert set(await client.sample([], some=True)) == {"emails"}
