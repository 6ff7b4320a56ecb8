"""Leadership of maintenance, and the chores that only its holder does.

One process per database leads; the others try again when its lease ends. Every chore is safe if two do it at once:
leadership saves work, it does not keep the tables right.
"""

from __future__ import annotations

from .connections import Connections
from .rows import AuditPart, Overdue, Promotion, Rescue


class Leadership:
    """Statements of the holder.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def acquire(self, name: str, holder: str, lease: float) -> tuple[float | None, float]:
        """Take or renew a leadership.

        Returns:
            Seconds that the holder has led without a gap, None while another leads; seconds until its lease expires.
        """
        led_for, left = (await self._connections.rows("lead", name, holder, lease, name))[0]
        return led_for, left or 0.0

    async def promote(self, limit: int = 5000) -> Promotion:
        """Make due jobs ready, about `limit` in all, divided evenly among the queues."""
        return Promotion(*(await self._connections.rows("promote", limit))[0])

    async def rescue(self, holder: str, lease: float, *, strays: bool = False) -> Rescue:
        """Reclaim jobs from lost workers (`strays`: from unknown ones too), if may_rescue.sql allows `holder` to."""
        return Rescue(*(await self._connections.rows("rescue", holder, lease, strays))[0])

    async def rescue_overdue(self, holder: str, lease: float) -> Overdue:
        """Reclaim attempts past their queue's deadline whose worker lives, if may_rescue.sql allows `holder` to."""
        return Overdue(*(await self._connections.rows("rescue_overdue", holder, lease))[0])

    async def count_limits(self) -> bool:
        """Count limits that were turned on; True if none is left uncounted. Call again until then."""
        return not await self._connections.value("count_limits")

    async def start_marks(self) -> tuple[int, int]:
        """The last ord drawn and a transaction id taken after it, the arguments of `publish_marks`."""
        last_ord, horizon = (await self._connections.rows("begin_marks"))[0]
        return int(last_ord), int(horizon)

    async def publish_marks(self, last_ord: int, horizon: int) -> int | None:
        """Publish marks; returns how many queues' moved, None while a transaction that may add rows below is open."""
        moved = await self._connections.value("publish_marks", last_ord, horizon)
        return None if moved is None else int(moved)

    async def make_partitions(self, days: int = 14) -> int:
        """Have partitions of outcome for `days` ahead; returns how many were made."""
        return await make_partitions(self._connections, days)

    async def drop_partitions(self) -> int:
        """Drop the oldest partition past every queue's retention; returns 1, or 0 if there is none or it is in use."""
        return int(await self._connections.value("drop_partitions"))

    async def audit(self, part: AuditPart) -> int:
        """Correct what copies of a database and manual changes leave; returns how many (audit.sql)."""
        return int(await self._connections.value("audit", part))

    async def prune_workers(self) -> int:
        """Delete workers that were lost long ago; returns how many."""
        return int(await self._connections.value("prune_workers"))

    async def prune_queues(self) -> int:
        """Delete undeclared queues that were idle for their retention; returns how many."""
        return int(await self._connections.value("prune_queues"))


async def make_partitions(connections: Connections, days: int) -> int:
    """As `Leadership.make_partitions`; for an acknowledgement that finds none, too."""
    return int(await connections.value("make_partitions", days))
