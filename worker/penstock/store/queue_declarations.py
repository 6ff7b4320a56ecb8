"""What was declared of the queues already: asked once by whoever is about to declare many.

A new leader of the operator finds hundreds of queues as its predecessor declared them. Declaring each anew is two
statements and two commits; comparing all of them is one statement and no write. The whole declaration is compared, not
its generation alone: an upgraded operator may make another one of the same JobQueue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .store import Store


class QueueDeclaration(NamedTuple):
    """What a queue's row says; durations in seconds. `paused_by` is the declarer or a login, None while not paused."""

    declared_by: str
    generation: int
    paused: bool
    paused_by: str | None
    max_attempts: int
    max_in_flight: int | None
    retry: Mapping[str, object] | None
    job_deadline: float | None
    retention: float
    settings: Mapping[str, object]

    def matches(
        self,
        *,
        declared_by: str,
        generation: int = 0,
        paused: bool = False,
        max_attempts: int = 5,
        max_in_flight: int | None = None,
        retry: Mapping[str, object] | None = None,
        job_deadline: float | None = None,
        retention: float = 86400.0,
        settings: Mapping[str, object] | None = None,
    ) -> bool:
        """Whether `Store.declare_queue` with these arguments would change nothing.

        A pause by a login stays whatever is declared, so it matches beside either.
        """
        by_declarer = self.paused and self.paused_by == self.declared_by
        return (paused if by_declarer else not paused or self.paused) and (
            self.declared_by, self.generation, self.max_attempts, self.max_in_flight, self.retry or {},
            self.job_deadline, self.retention, self.settings,
        ) == (
            declared_by, generation, max_attempts, max_in_flight, dict(retry or {}),
            job_deadline, retention, dict(settings or {}),
        )  # fmt: skip


async def declarations(store: Store) -> dict[str, QueueDeclaration]:
    """What is declared, by the queue's name; queues that nobody declared are not there.

    Raises:
        StoreError: the database cannot be asked.
    """
    rows = await store.connections.rows("declarations")
    return {name: QueueDeclaration(*columns) for name, *columns in rows}
