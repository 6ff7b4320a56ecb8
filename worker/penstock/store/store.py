"""The store of a running process, worker or operator: its parts by noun, over the same few connections.

Owns opening and closing; the statements are in `jobs`, `queues`, `workers`, `schedules` and `leadership`, and rarer
ones in modules of their own that take a `Store`. Decides nothing.
"""

from __future__ import annotations

from typing import Self

from penstock.database.source import Url

from .connections import Connections
from .jobs import Jobs
from .leadership import Leadership
from .queues import Queues
from .schedules import Schedules
from .workers import Workers


class Store:
    """Statements over `lanes` connections to one database.

    Args:
        url: a libpq URL; never printed.
        name: application_name on the server.
        lanes: connections, 1 to 16.
        pooled: the URL leads to a pooler in transaction mode.

    Attributes:
        jobs: claim, acknowledge, release; redrive and discard dead letters.
        queues: sample, declare, pause, limit; wait for work.
        workers: cordon.
        schedules: declare, fire, settle and list.
        leadership: who does maintenance, and its chores.
        connections: for the modules of this package.
    """

    def __init__(self, url: Url, *, name: str = "penstock", lanes: int = 2, pooled: bool = False) -> None:
        self.connections = Connections(url, name=name, lanes=lanes, pooled=pooled)
        self.jobs = Jobs(self.connections)
        self.queues = Queues(self.connections)
        self.workers = Workers(self.connections)
        self.schedules = Schedules(self.connections)
        self.leadership = Leadership(self.connections)

    async def open(self) -> Self:
        """Connect.

        Raises:
            DatabaseUnavailable: no connection within ten seconds.
        """
        await self.connections.open()
        return self

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self.connections.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()
