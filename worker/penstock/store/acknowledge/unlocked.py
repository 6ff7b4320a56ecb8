"""Acknowledge and release around rows that other transactions hold: what is free is stored, the rest is named.

For the caller of `Store.ack` or `Store.release` that got RowLocked: nothing of its batch was written then. These step
over the locked rows, so that one row held open stops no other job; whatever is returned as locked must be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.job import ClaimedJob, Finished

from .. import arrays
from ..rows import AckConflict
from ..store import Store
from .outcomes import columns

LOCKED = "locked"
"""State of an outcome that was not stored because another transaction holds the job's row."""


class Released(NamedTuple):
    """How many claims were released, and the ids of those whose rows other transactions hold."""

    number: int
    locked: frozenset[int]


async def ack_unlocked(store: Store, worker: int, outcomes: Sequence[Finished]) -> list[AckConflict]:
    """As `Store.ack`, but outcomes whose rows are locked come back with the state `LOCKED` and are not stored.

    Raises:
        RowLocked: a table is locked as a whole; nothing was written.
        StoreError: as `Store.ack`.
    """
    rows = await store.connections.rows("ack_unlocked", worker, *columns(outcomes))
    return [AckConflict(*row) for row in rows]


async def release_unlocked(store: Store, worker: int, jobs: Sequence[ClaimedJob]) -> Released:
    """As `Store.release`, but claims whose rows are locked stay, and are named.

    Raises:
        StoreError: as `Store.release`.
    """
    ids, tokens = arrays.numbers(j.id for j in jobs), arrays.numbers(j.token for j in jobs)
    ((released, locked),) = await store.connections.rows("release_unlocked", worker, ids, tokens)
    return Released(int(released or 0), frozenset(locked or ()))
