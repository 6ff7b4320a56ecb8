"""A job's whole life on a database, with all that is read on the way checked: for unusual databases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock import JobState
from penstock.errors import RejectedByDatabase
from penstock.job import ClaimedJob, Finished, NewJob, OutcomeState, UniqueKey
from penstock.store import Store, SyncClient, WorkerRegistry
from penstock.store.inspect.inspection import JobFilter, Reader
from tests.postgres import desk


def new(number: int, **options: Any) -> NewJob:
    values = {"task": "größe", "args": f'{{"n": {number}, "text": "Ж \\\\ é"}}', "queue": "q", **options}
    return NewJob(**values)


async def a_life(url: str, text: str = "Ж \\ é") -> None:
    """Everything that an application, a worker, the maintenance and people send, with what they read checked."""
    with closing(SyncClient(url)) as client, closing(WorkerRegistry(url)) as registry, Reader(url) as reader:
        ids = an_application(client, text)
        worker, queue = registry.register(queue="q", identity="höst:1", version="1", concurrency=2, lease=15.0)
        async with Store(url, lanes=1) as store:
            claimed = await store.jobs.claim(worker, queue, "q", 10, desk.token())
            assert [job.id for job in claimed] == ids[:2]
            assert (claimed[0].task, text.replace("\\", "\\\\") in claimed[0].args) == ("größe", True)
            assert 0 <= claimed[0].wait < 600
            held_claims = [(job.id, job.token) for job in claimed]
            renewed = registry.renew(
                worker, lease=15, claims=held_claims, in_flight={"q": 2}, done={}, drained=False, report='{"é": 1}'
            )
            assert renewed == ("running", [], [])
            await an_end(store, worker, claimed)
            await the_maintenance(store)
        people(client, reader, ids)
        registry.deregister(worker, empty=True)


def an_application(client: SyncClient, text: str) -> list[int]:
    """Four jobs of every sort, one refused for its size."""
    due = datetime.now(UTC).replace(microsecond=123456) + timedelta(days=40)
    body = text.replace("\\", "\\\\")
    mixed = [
        new(1, args=f'{{"text": "{body}"}}'),
        new(2, unique=UniqueKey(key="k")),
        new(3, delay=3600.0),
        new(4, at=due, headers='{"h": "\\u0001"}'),
    ]
    ids = client.enqueue(mixed)
    later = client.info(ids[3])
    assert later is not None
    assert later.due_at == due
    with pytest.raises(RejectedByDatabase, match="the limit is 262144"):
        client.enqueue([new(5, args='{"s": "' + '\\\\\\"' * 70_000 + '"}')])
    return ids


async def an_end(store: Store, worker: int, claimed: Sequence[ClaimedJob]) -> None:
    """One completed, one to be tried again at once."""
    first, second = claimed
    error = '{"type": "E", "message": "é"}'
    outcomes = [
        Finished(job=first, state=OutcomeState.COMPLETED, result='"é"', duration=0.123456789),
        Finished(job=second, state=OutcomeState.RETRY, delay=0.0, error=error, duration=0.1),
    ]
    assert await store.jobs.ack(worker, outcomes) == []


async def the_maintenance(store: Store) -> None:
    """All of it; numbers come back as they are."""
    promotion = await store.leadership.promote()
    assert promotion.promoted == 1
    assert promotion.next_due is None or 3000 < promotion.next_due < 3700
    led_for, left = await store.leadership.acquire("maintenance", "x", 15.5)
    assert led_for is not None
    assert 10 < left <= 15.5
    await store.leadership.rescue("x", 15.5, strays=True)
    await store.leadership.make_partitions()
    await store.leadership.drop_partitions()
    await store.leadership.prune_workers()
    await store.leadership.prune_queues()
    assert await store.leadership.start_marks() > (0, 0)
    [seen] = await store.queues.snapshot()
    assert (seen.ready, seen.deferred) == (1, 2)


def people(client: SyncClient, reader: Reader, ids: Sequence[int]) -> None:
    """What they list and look up."""
    done = client.info(ids[0])
    assert done is not None
    assert (done.state, done.result) == (JobState.COMPLETED, "é")
    assert {row.id for row in reader.jobs(JobFilter(states=frozenset(JobState), queue="q"))} == set(ids)
    assert [row.name for row in reader.queues()] == ["q"]
    shown = reader.job(ids[0])
    assert shown is not None
    assert shown.attempts[0]["duration"] == 0.123456789
    assert reader.why(ids[2])
    assert [row.identity for row in reader.workers()] == ["höst:1"]
