"""What a worker looks at for people's sake: the depth of its queue, and dead letters that a rescue made.

A worker's `Store` with two statements more, over the same connections: both are sent only where there is a dead letter,
or where somebody listens.
"""

from __future__ import annotations

from typing import NamedTuple

from .store import Store

MOST_TOLD = 500
"""Dead letters in one answer of `untold`."""


class Depth(NamedTuple):
    """One queue now. Counts stop at 10,000; `oldest` is seconds, None where nothing is ready."""

    ready: int
    deferred: int
    in_flight: int
    dead: int
    oldest: float | None


class Untold(NamedTuple):
    """A dead letter that a rescue made. `error` and `message` are of its last error."""

    id: int
    queue: str
    task: str
    reason: str
    attempt: int
    error: str | None
    message: str | None


class Witness(Store):
    """See the module. Methods raise StoreError."""

    async def depth(self, queue: int) -> Depth:
        """The queue of that id."""
        return Depth(*(await self._rows("depth", queue))[0])

    async def untold(self, holder: str) -> list[Untold]:
        """Dead letters of rescues within the last hour that nobody was given yet; they count as told from now on.

        Args:
            holder: who asks, for their forensics.
        """
        return [Untold(*row) for row in await self._rows("tell_dead", holder, MOST_TOLD)]
