"""The declarations of queues that the database already has, for a declarer of many queues.

A new leader of the operator finds hundreds of queues as its predecessor declared them. Declaring each again would be
two statements and two commits; comparing all of them is one statement and no write. The whole declaration is
compared, not only its generation: an upgraded operator may derive another one from the same JobQueue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .store import Store


class QueueDeclaration(NamedTuple):
    """The declaration in a queue's row; durations in seconds. `paused_by`: declarer or login, None while not paused."""

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
        """Whether `Queues.declare` with these arguments would change nothing.

        A pause by a login stays whatever is declared: it matches both values of `paused`.
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
    """The declarations by queue name; undeclared queues are left out.

    Raises:
        StoreError: the query failed.
    """
    rows = await store.connections.rows("declarations")
    return {name: QueueDeclaration(*columns) for name, *columns in rows}
