"""Releases claims that the database has for a worker and the worker does not: their outcomes were lost commits.

Happens after a failover to a lagging standby, and after a restored backup. The worker lives and renews its lease: no
rescue would reclaim them.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.job import ClaimedJob

from .. import arrays
from ..store import Store


async def release_unknown(store: Store, worker: int, queue: int, known: Sequence[ClaimedJob]) -> int:
    """Release the claims of a worker that are not in `known`; returns how many.

    Args:
        store: open.
        worker: its id.
        queue: of its claims.
        known: all claims that it has, with unanswered acknowledgements. No claim may be in flight.

    Raises:
        RowLocked: another transaction locks one of the rows; nothing was released.
        StoreError: the query failed.
    """
    ids, tokens = arrays.numbers(job.id for job in known), arrays.numbers(job.token for job in known)
    return int(await store.connections.value("release_unknown", worker, queue, ids, tokens) or 0)
