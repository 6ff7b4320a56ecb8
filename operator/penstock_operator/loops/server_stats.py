"""Statistics of one database server, read now and then for the metrics. No decision uses them.

Owns the pace and the labels: a database is labeled by the first of the Secrets that lead to it, because its address is
part of the Secret's content. An error is not reported here: the sample that decides something reports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from penstock.errors import StoreError

from ..database.client import DatabaseClient
from ..metrics import OperatorMetrics, SecretPlace
from ..resources.resource import JobQueue

REFRESH_SECONDS: Final = 30.0
MAX_SECONDS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class ServerStats:
    """The statistics of one database.

    Args:
        metrics: where they are shown.
    """

    metrics: OperatorMetrics
    _place: SecretPlace | None = None
    _read_at: float = float("-inf")

    async def refresh(self, database: DatabaseClient, queues: Iterable[JobQueue]) -> None:
        """Read them at most once in half a minute; `queues` are the JobQueues whose Secrets lead to the database."""
        self._move(place_of(queues))
        if self._place is None or time.monotonic() - self._read_at < REFRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(MAX_SECONDS):
                self.metrics.show_database(self._place, *await database.vitals())

    def stop(self) -> None:
        """Drop the series."""
        self._move(None)

    def _move(self, place: SecretPlace | None) -> None:
        if self._place not in {None, place}:
            self.metrics.forget_database(self._place)
        self._place = place


def place_of(queues: Iterable[JobQueue]) -> SecretPlace | None:
    """Namespace and name of the first of the Secrets that lead to a database; None if no JobQueue is valid."""
    found = []
    for queue in queues:
        if queue.policy is not None:
            reference = queue.policy.database_ref
            found.append((queue.namespace, (reference.operator_secret_ref or reference.secret_ref).name))
    return min(found, default=None)
