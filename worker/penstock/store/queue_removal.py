"""Removes an unused queue, for people; see functions/remove_queue.sql."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from .store import Store

WAIT_SECONDS = 5.0
"""The removal waits at most this long for transactions that may still enqueue to the queue."""
_PAUSE_SECONDS = 0.02


class Removal(NamedTuple):
    """removed, removable, missing, waiting; or jobs, dead, workers with their `number`, counted to 1,000."""

    verdict: str
    number: int | None


async def remove_queue(store: Store, name: str, *, dry_run: bool = False) -> Removal:
    """Remove a queue without jobs, dead letters and workers.

    Args:
        store: where.
        name: of the queue.
        dry_run: only return what would happen.

    Raises:
        StoreError: the database cannot be used, or the login lacks the right.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        removal = Removal(*(await store.connections.rows("remove_queue", name, dry_run))[0])
        if removal.verdict != "waiting" or time.monotonic() > until:
            return removal
        await asyncio.sleep(_PAUSE_SECONDS)
