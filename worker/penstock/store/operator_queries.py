"""What the operator asks beside its snapshot: who holds what exactly, what jobs waited lately, which database this is.

Asked seldom (before a worker is cordoned, once in ten seconds under load, once per connection), so it is kept out of
the snapshot, which is taken all the time. Each costs the same however many jobs there are or were.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.errors import MissingRights

from .store import Store

WAITS_SECONDS = 60.0
"""What ended within so long counts as lately."""
WAITS_BLOCKS = 128
"""A mebibyte of outcomes, two to ten thousand of them: the newest, where a minute brings more."""
HELD_ROWS = 10_000
"""Running rows come first in a queue's order, but for those of later priorities."""


async def held_by(store: Store, queue: int) -> dict[int, int]:
    """Jobs that each worker of the queue holds, by the worker's id; those that hold none are not there.

    Raises:
        StoreError: the database cannot be asked.
    """
    return {int(worker): int(jobs) for worker, jobs in await store.connections.rows("held_by", queue, HELD_ROWS)}


class LostWorker(NamedTuple):
    """A worker that was declared lost. `silent` are the seconds since it last renewed its lease."""

    node: str | None
    silent: float


async def lost_workers(store: Store, queue: int) -> dict[str, LostWorker]:
    """The lost workers of a queue by their pod's name; a pod with a row that is alive is not among them.

    Raises:
        StoreError: the database cannot be asked.
    """
    rows = await store.connections.rows("lost_workers", queue)
    return {str(pod): LostWorker(node, max(0.0, float(silent))) for pod, node, silent in rows}


async def note_end(store: Store, queue: int, *, pod: str, at: str, how: str) -> None:
    """Note how the workers of a pod ended, for the history of the jobs that they held; idempotent.

    Args:
        store: of the database.
        queue: the queue's id.
        pod: its name.
        at: when it ended, as RFC 3339 text; workers that started later are not meant.
        how: one clause for people.

    Raises:
        StoreError: the database cannot be asked.
    """
    await store.connections.rows("note_end", queue, pod, at, how)


async def shorten_grace(store: Store, queue: int, *, pod: str, seconds: float) -> None:
    """Tell the workers of a pod that it is killed in so many seconds; idempotent.

    Raises:
        StoreError: the database cannot be asked.
    """
    await store.connections.rows("shorten_grace", queue, pod, seconds)


async def recent_waits(store: Store) -> dict[int, float]:
    """Seconds from ready to claimed that 95 of 100 attempts of the last minute waited at most, by the queue's id.

    Queues of which no attempt ended are not there. Just after midnight UTC it knows only the new day's.

    Raises:
        StoreError: the database cannot be asked.
    """
    rows = await store.connections.rows("recent_waits", WAITS_SECONDS, WAITS_BLOCKS)
    return {int(queue): max(0.0, float(p95)) for queue, p95 in rows}


async def identity(store: Store) -> str:
    """The database that this is, by its server's own number: two URLs that lead to one database give the same text.

    Raises:
        StoreError: the database cannot be asked.
    """
    try:
        ((found,),) = await store.connections.rows("identity")
    except MissingRights as error:
        if "pg_control_system" not in str(error):
            raise
        run = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO penstock_operator;"
        raise MissingRights(f"identity: the login lacks a right; as an administrator run: {run}") from error
    return str(found)
