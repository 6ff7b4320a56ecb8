"""Queries of the operator outside its snapshot: exact claims per worker, recent waits, the identity of the database.

They run rarely (before a cordon, every ten seconds under load, once per connection), unlike the snapshot, which is
taken all the time. The cost of each does not depend on the number of jobs.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.errors import MissingRights

from .store import Store

WAITS_SECONDS = 60.0
"""Attempts that ended within this time count as recent."""
WAITS_BLOCKS = 128
"""A mebibyte of outcomes, two to ten thousand rows; the newest, if a minute has more."""
CLAIMED_ROWS = 10_000
"""Running rows come first in a queue's order, except those of later priorities."""


async def claims_by_worker(store: Store, queue: int) -> dict[int, int]:
    """The number of claimed jobs by worker id; workers without claims are left out.

    Raises:
        StoreError: the query failed.
    """
    return {int(worker): int(jobs) for worker, jobs in await store.connections.rows("held_by", queue, CLAIMED_ROWS)}


class LostWorker(NamedTuple):
    """A worker that was declared lost. `silent`: seconds since its last renewal."""

    node: str | None
    silent: float


async def lost_workers(store: Store, queue: int) -> dict[str, LostWorker]:
    """The lost workers of a queue by pod name; pods with a live worker are left out.

    Raises:
        StoreError: the query failed.
    """
    rows = await store.connections.rows("lost_workers", queue)
    return {str(pod): LostWorker(node, max(0.0, float(silent))) for pod, node, silent in rows}


async def note_end(store: Store, queue: int, *, pod: str, at: str, how: str) -> None:
    """Note how the workers of a pod ended, for the history of their jobs; idempotent.

    Args:
        store: of the database.
        queue: the queue's id.
        pod: the pod's name.
        at: when it ended, as RFC 3339 text; workers that started later are not changed.
        how: one clause for people.

    Raises:
        StoreError: the query failed.
    """
    await store.connections.rows("note_end", queue, pod, at, how)


async def shorten_grace(store: Store, queue: int, *, pod: str, seconds: float) -> None:
    """Set in how many seconds a pod is killed, for its workers; idempotent.

    Raises:
        StoreError: the query failed.
    """
    await store.connections.rows("shorten_grace", queue, pod, seconds)


async def recent_waits(store: Store) -> dict[int, float]:
    """The 95th percentile of the wait from ready to claimed of the last minute's attempts, in seconds by queue id.

    Queues without ended attempts are left out. Just after midnight UTC only the new day's attempts count.

    Raises:
        StoreError: the query failed.
    """
    rows = await store.connections.rows("recent_waits", WAITS_SECONDS, WAITS_BLOCKS)
    return {int(queue): max(0.0, float(p95)) for queue, p95 in rows}


async def database_identity(store: Store) -> str:
    """The identity of the database, by its server's own number: two URLs that lead to one database have the same.

    Raises:
        StoreError: the query failed.
    """
    try:
        ((found,),) = await store.connections.rows("identity")
    except MissingRights as error:
        if "pg_control_system" not in str(error):
            raise
        run = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO penstock_operator;"
        raise MissingRights(f"identity: the login lacks a right; as an administrator run: {run}") from error
    return str(found)
