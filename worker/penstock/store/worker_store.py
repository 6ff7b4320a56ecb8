"""The statements that only a worker sends for people: the depth of its queue, and dead letters of a rescue.

A `Store` with two more statements over the same connections: both are sent only if there is a dead letter or a hook.
"""

from __future__ import annotations

from typing import NamedTuple

from .store import Store

MAX_UNREPORTED = 500
"""Dead letters in one reply of `take_unreported`."""


class Depth(NamedTuple):
    """One queue now. Counts stop at 10,000; `oldest` is in seconds, None if no job is ready."""

    ready: int
    deferred: int
    in_flight: int
    dead: int
    oldest: float | None


class UnreportedDeadLetter(NamedTuple):
    """A dead letter that a rescue made. `error` and `message` are of its last error."""

    id: int
    queue: str
    task: str
    reason: str
    attempt: int
    error: str | None
    message: str | None


class WorkerStore(Store):
    """See the module. Methods raise StoreError."""

    async def depth(self, queue: int) -> Depth:
        """The depth of the queue with this id."""
        return Depth(*(await self.connections.rows("depth", queue))[0])

    async def take_unreported(self, holder: str) -> list[UnreportedDeadLetter]:
        """Unreported dead letters of rescues within the last hour; they count as reported from now on.

        Args:
            holder: the caller, for their forensics.
        """
        return [UnreportedDeadLetter(*row) for row in await self.connections.rows("tell_dead", holder, MAX_UNREPORTED)]
