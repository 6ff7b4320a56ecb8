"""What a worker looks at for people's sake: the depth of its queue, and dead letters that a rescue made.

A worker's `Store` with two statements more, over the same connections: both are sent only where there is a dead letter,
or where somebody listens.
"""

from __future__ import annotations

from typing import NamedTuple

from .store import Store

MAX_UNREPORTED = 500
"""Dead letters in one answer of `take_unreported`."""


class Depth(NamedTuple):
    """One queue now. Counts stop at 10,000; `oldest` is seconds, None where nothing is ready."""

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
        """The queue of that id."""
        return Depth(*(await self.connections.rows("depth", queue))[0])

    async def take_unreported(self, holder: str) -> list[UnreportedDeadLetter]:
        """Dead letters of rescues within the last hour that nobody was given yet; they count as told from now on.

        Args:
            holder: who asks, for their forensics.
        """
        return [UnreportedDeadLetter(*row) for row in await self.connections.rows("tell_dead", holder, MAX_UNREPORTED)]
