"""Claims that the database ascribes to a worker that does not hold them: it lost their outcomes with its last commits.

Happens after a failover to a standby that was behind, and after a restored backup. The worker lives and renews its
lease, so no rescue comes for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.job import ClaimedJob

from .. import arrays
from ..store import Store


async def release_unknown(store: Store, worker: int, queue: int, held: Sequence[ClaimedJob]) -> int:
    """Release the claims of a worker that are not among `held`; returns how many.

    Args:
        store: open.
        worker: its id.
        queue: of its claims.
        held: all claims that it holds, acknowledgements that were not answered included. No claim may be in flight.

    Raises:
        RowLocked: another transaction holds one of the rows; nothing was released.
        StoreError: the database cannot be asked.
    """
    ids, tokens = arrays.numbers(job.id for job in held), arrays.numbers(job.token for job in held)
    return int(await store.connections.value("release_unknown", worker, queue, ids, tokens) or 0)
