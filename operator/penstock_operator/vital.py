"""How a database bears up, looked at now and then for the metrics. Nothing is decided by it.

Owns the pace and the name: a database is told by the first of the Secrets that lead to it, for its address is a part of
what that Secret keeps. An error waits for the next time: the look that decides something has told it already.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from penstock.errors import StoreError

from .database.client import DatabaseClient
from .metrics import OperatorMetrics, Place
from .resource import JobQueue

VITALS_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class VitalSigns:
    """Those of one database.

    Args:
        metrics: told what was seen.
    """

    metrics: OperatorMetrics
    _place: Place | None = None
    _looked_at: float = float("-inf")

    async def look(self, database: DatabaseClient, queues: Iterable[JobQueue]) -> None:
        """Once in half a minute; `queues` are those of the database, by whose Secrets it is named."""
        self._move(place_of(queues))
        if self._place is None or time.monotonic() - self._looked_at < VITALS_SECONDS:
            return
        self._looked_at = time.monotonic()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                self.metrics.bears(self._place, *await database.vitals())

    def end(self) -> None:
        """Nobody looks any more; its series go."""
        self._move(None)

    def _move(self, place: Place | None) -> None:
        if self._place not in {None, place}:
            self.metrics.lose(self._place)
        self._place = place


def place_of(queues: Iterable[JobQueue]) -> Place | None:
    """Namespace and name of the first of the Secrets that lead to a database; None where no JobQueue is valid."""
    found = []
    for queue in queues:
        if queue.policy is not None:
            reference = queue.policy.database_ref
            found.append((queue.namespace, (reference.operator_secret_ref or reference.secret_ref).name))
    return min(found, default=None)
