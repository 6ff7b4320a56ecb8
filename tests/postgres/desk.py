"""Short words for the store's functions, so that a test reads as the order of events that it is about."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from penstock.job import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.job import ClaimedJob
    from penstock.store import Store
    from tests.postgres.interleave import Connection, Step

CLAIM = "SELECT id, attempt FROM penstock.claim(%s, %s, %s, %s)"
ACK = "SELECT id, token, state FROM penstock.ack(%s, %s, %s, %s)"
RELEASE = "SELECT penstock.release(%s, %s, %s)"
RELEASE_UNKNOWN = "SELECT penstock.release_unknown(%s, %s, %s, %s)"
RELEASE_CLAIM = "SELECT penstock.release_claim(%s, %s, %s)"
RENEW = "SELECT state, fenced_ids, cancelled_ids FROM penstock.renew(%s, %s, %s, %s, '{}', '{}', false)"
RESCUE = "SELECT lost, rescued, poisoned FROM penstock.rescue(%s, %s)"
OVERDUE = "SELECT retried, buried FROM penstock.rescue_overdue(%s, %s)"
PROMOTE = "SELECT promoted FROM penstock.promote(100)"
LEAD = "SELECT penstock.lead('maintenance', %s, %s)"
ENQUEUE = "SELECT penstock.enqueue('q', 'work')"
QUIET_LEASE = 0.05
"""Seconds: short enough to run out within a test, and every server of the tests has been up for longer."""

_tokens = itertools.count(1000)


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker of queue `q`."""

    id: int
    queue: int


def token() -> int:
    """A token that no call has had."""
    return next(_tokens)


def register(connection: psycopg.Connection[Any], lease: float = 3000.0) -> Worker:
    """A new worker; with QUIET_LEASE it is soon past its lease."""
    row = connection.execute(
        "SELECT worker, queue FROM penstock.register('q', 'test', NULL, NULL, '0', 1, %s, '{}')", [lease]
    ).fetchone()
    assert row is not None
    return Worker(*row)


def enqueue(connection: psycopg.Connection[Any], count: int = 1, **columns: Any) -> list[int]:
    """Jobs of task `work` in queue `q`; `columns` are arrays of enqueue_many by name."""
    names = "".join(f", {name} => %s" for name in columns)
    query = f"SELECT penstock.enqueue_many(%s, %s, %s::jsonb[]{names})"
    values = [["q"] * count, ["work"] * count, ["{}"] * count, *columns.values()]
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    ids: list[int] = row[0]
    return ids


def lead_for_long(connection: psycopg.Connection[Any], holder: str = "leader") -> None:
    """Make `holder` the maintenance leader of one lease already, as rescue demands."""
    connection.execute(
        "INSERT INTO penstock.leader VALUES ('maintenance', %s, clock_timestamp() - interval '1 hour', "
        "clock_timestamp() + interval '1 hour')",
        [holder],
    )


def lapse(connection: psycopg.Connection[Any], worker: Worker) -> None:
    """Let the worker's lease be over."""
    connection.execute(
        "UPDATE penstock.worker SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s", [worker.id]
    )


def lapse_under_a_leader(connection: psycopg.Connection[Any], worker: Worker) -> None:
    """Let the worker's lease be over, and have a leader that may rescue its jobs."""
    lead_for_long(connection)
    lapse(connection, worker)


def claim_one(connection: psycopg.Connection[Any], stepped: Connection) -> tuple[Worker, int, int]:
    """A new worker that has claimed a new job over a stepped connection: worker, job and token."""
    worker, (job,), claim_token = register(connection), enqueue(connection, 1), token()
    claim(stepped, worker, 1, claim_token).finish()
    return worker, job, claim_token


def claim(connection: Connection, worker: Worker, count: int, claim_token: int) -> Step:
    """Start a claim on a stepped connection."""
    return connection.start(CLAIM, [worker.id, worker.queue, count, claim_token])


def ack(connection: Connection, worker: Worker, ids: Sequence[int], claim_token: int, state: str = "completed") -> Step:
    """Start an acknowledgement on a stepped connection; its rows are what was not simply accepted."""
    tokens, states = [claim_token] * len(ids), [state] * len(ids)
    return connection.start(ACK, [worker.id, list(ids), tokens, states])


def state_of(connection: psycopg.Connection[Any], job: int) -> str:
    """The state column of the view for one job."""
    row = connection.execute("SELECT state FROM penstock.jobs WHERE id = %s", [job]).fetchone()
    return "gone" if row is None else str(row[0])


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, checking every 5 ms. It costs no time if the condition comes: be generous."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.005)


def new(**values: Any) -> NewJob:
    """A job of task `work` for queue `q`."""
    return NewJob(**{"task": "work", "args": "{}", "queue": "q", **values})


async def claim_some(store: Store, worker: Worker, count: int = 10) -> list[ClaimedJob]:
    """A claim through the store."""
    return await store.jobs.claim(worker.id, worker.queue, "q", count, token())
