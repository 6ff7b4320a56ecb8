"""Queues as the operator, the local mode and waiting workers use them: sample, declare, pause, limit, wait.

Owns no decision: counts and times are the database's. The rarer questions of an operator are in a module of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.jobqueue.declaration import QueueDeclaration

from . import arrays
from .connections import Connections
from .rows import QueueState


class Queues:
    """Statements about queues.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def snapshot(
        self, *, queues: Sequence[str] | None = None, cap: int = 10_000, soon: float = 15.0
    ) -> list[QueueState]:
        """Queues in one query; counts stop at `cap`, due_soon counts jobs that fall due within `soon` seconds.

        Args:
            queues: names; those that do not exist are left out. None: every queue that is declared or served, and the
                1,000 oldest of the others.
            cap: of every count of every queue.
            soon: seconds.
        """
        names = None if queues is None else list(queues)
        return [QueueState(*row) for row in await self._connections.rows("sample", names, cap, soon)]

    async def declare(self, name: str, declared: QueueDeclaration) -> int:
        """Write a declaration to the queue's row, `paused_by` left out; returns the queue's id."""
        retry, settings = arrays.document(declared.retry or {}), arrays.document(declared.settings or {})
        values = (
            name,
            declared.declared_by,
            declared.generation,
            declared.paused,
            declared.max_attempts,
            retry,
            declared.job_deadline,
            declared.retention,
            settings,
        )
        queue = int(await self._connections.value("declare_queue", *values))
        await self.set_limit(queue, declared.max_in_flight)
        return queue

    async def set_limit(self, queue: int, max_in_flight: int | None) -> None:
        """Limit how many of the queue's jobs run at once, or lift the limit; a new one applies once counted."""
        await self._connections.value("set_limit", queue, max_in_flight)

    async def pause(self, queue: str, *, paused: bool = True) -> bool:
        """Pause or resume a queue; returns whether it exists."""
        return bool(await self._connections.value("pause", queue, paused))

    async def mark_waiting(self, queues: Sequence[int], seconds: float, *, operator: bool = False) -> float:
        """Announce a waiter; returns for how many seconds the announcement is valid."""
        return float(await self._connections.value("wait_mark", list(queues), seconds, operator) or 0.0)

    async def take_xid(self) -> int:
        """The id of a new transaction, which ends at once."""
        return int(await self._connections.value("take_xid"))

    async def oldest_xid(self) -> int:
        """The lowest transaction id that may still be open."""
        return int(await self._connections.value("oldest_xid"))
