"""Acknowledge and release jobs whose rows are free; returns those whose rows are locked.

For the caller of `Jobs.ack` or `Jobs.release` that got RowLocked: nothing of its batch was written. These skip locked
rows: one locked row delays no other job. Jobs that are returned as locked must be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.job import ClaimedJob, Finished

from .. import arrays
from ..outcome_columns import columns
from ..rows import AckConflict
from ..store import Store

LOCKED = "locked"
"""State of an outcome that was not stored because another transaction locks the job's row."""


class Released(NamedTuple):
    """The number of released claims, and the ids of those whose rows are locked."""

    number: int
    locked: frozenset[int]


async def ack_unlocked(store: Store, worker: int, outcomes: Sequence[Finished]) -> list[AckConflict]:
    """As `Jobs.ack`, but outcomes whose rows are locked come back with the state `LOCKED` and are not stored.

    Raises:
        RowLocked: a table is locked as a whole; nothing was written.
        StoreError: as `Jobs.ack`.
    """
    rows = await store.connections.rows("ack_unlocked", worker, *columns(outcomes))
    return [AckConflict(*row) for row in rows]


async def release_unlocked(store: Store, worker: int, jobs: Sequence[ClaimedJob]) -> Released:
    """As `Jobs.release`, but claims whose rows are locked are not released, and are returned.

    Raises:
        StoreError: as `Jobs.release`.
    """
    ids, tokens = arrays.numbers(j.id for j in jobs), arrays.numbers(j.token for j in jobs)
    ((released, locked),) = await store.connections.rows("release_unlocked", worker, ids, tokens)
    return Released(int(released or 0), frozenset(locked or ()))
