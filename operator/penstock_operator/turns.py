"""The gates that many queues pass on their way to the API server, and who need not wait there. Decides nothing else.

A new leader looks after hundreds of Deployments, and a change of all queues is hundreds of statuses: so many at once
would keep the few requests waiting that somebody's job depends on. A queue to which jobs have just come hurries: it
passes the gates as if they were not there. One that waits at a gate can be begun anew without anything being lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(slots=True)
class Turn:
    """One queue's way through the gates; `waits` says whether it stands at one."""

    hurries: bool = False
    waits: bool = False

    @contextlib.asynccontextmanager
    async def at(self, gate: asyncio.Semaphore) -> AsyncIterator[None]:
        """Hold the gate, or pass it in a hurry."""
        if self.hurries:
            yield
            return
        self.waits = True
        try:
            await gate.acquire()
        finally:
            self.waits = False
        try:
            yield
        finally:
            gate.release()
