"""Recent waits of jobs, for the status of a JobQueue. No decision uses them, so they are read last."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from penstock.errors import StoreError
from penstock.store import QueueState

from ..database.client import DatabaseClient

WORKED_SECONDS: Final = 60.0
"""For so long after the last worker the waits are still read."""


class RecentWaits:
    """The waits in one database, as they were read last."""

    def __init__(self) -> None:
        self._worked_at = float("-inf")
        self._found: Mapping[int, float] = {}

    def of(self, queue: int) -> float | None:
        """Seconds that 95 of 100 attempts of the last minute waited at most; None where none ended."""
        return self._found.get(queue)

    def forget(self) -> None:
        """Nothing is known any more."""
        self._found = {}

    async def read(self, database: DatabaseClient, states: Mapping[str, QueueState]) -> None:
        """Read them while attempts may have ended; an error empties them."""
        if any(state.workers for state in states.values()):
            self._worked_at = time.monotonic()
        self._found = {}
        if time.monotonic() - self._worked_at <= WORKED_SECONDS:
            try:
                self._found = await database.waits()
            except StoreError:
                return
