"""The gates that many queues pass on their way to the API server, and which queues bypass them. Decides nothing else.

A new leader writes hundreds of Deployments, and a change that affects every queue writes hundreds of statuses. So many
requests at once would delay the few that a job waits for. A queue that has just received jobs is urgent: it bypasses
the gates. A reconciliation that waits at a gate can be cancelled and started again without losing anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(slots=True)
class PriorityGate:
    """One queue's way through the gates. `urgent` is set by the database loop; `waiting` is true while it waits."""

    urgent: bool = False
    waiting: bool = False

    @contextlib.asynccontextmanager
    async def through(self, gate: asyncio.Semaphore) -> AsyncIterator[None]:
        """Hold `gate`, or bypass it if urgent."""
        if self.urgent:
            yield
            return
        self.waiting = True
        try:
            await gate.acquire()
        finally:
            self.waiting = False
        try:
            yield
        finally:
            gate.release()
