"""The Secrets in which JobQueues say that their database's URL is: read one by one, kept for a minute.

Owns the values and how long they are believed. A value leaves this module only towards the address that a loop connects
to, never into a message. Secrets are got by name; they are never listed and never watched.

Surprising: a value by which the database cannot be looked at is soon read again: it may just have been rotated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from .cluster import Cluster
from .errors import ClusterError, Forbidden, NotFound
from .resource import JobQueue

SECRET_SECONDS: Final = 60.0
SECRET_RETRY_SECONDS: Final = 5.0
"""For a Secret that could not be read, and for one whose URL does not work."""

Place = tuple[str, str, str]
"""Namespace, name and key of a Secret's value."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What a Secret's value was, when, and until when that is believed."""

    found: str | tuple[str, str]
    at: float
    until: float


@dataclass(slots=True)
class Secrets:
    """Values by place.

    Args:
        cluster: where they are read.
        clock: monotonic seconds.
    """

    cluster: Cluster
    clock: Callable[[], float] = time.monotonic
    _values: dict[Place, _Read] = field(default_factory=dict)

    def found(self, place: Place) -> str | tuple[str, str]:
        """The value, or the reason and sentence why there is none; only of places that were read."""
        return self._values[place].found

    async def read(self, wanted: AbstractSet[Place], *, suspect: AbstractSet[Place]) -> None:
        """Have a fresh value, or the reason why there is none, for each of them; once for all who share it.

        Args:
            wanted: every place that anybody needs; the others are forgotten.
            suspect: those whose value does not work.
        """
        now = self.clock()
        self._values = {place: read for place, read in self._values.items() if place in wanted}
        due = [place for place in wanted if place not in self._values or now >= self._until(place, suspect)]
        self._values |= zip(due, await asyncio.gather(*(self._read(place) for place in due)), strict=True)

    def _until(self, place: Place, suspect: AbstractSet[Place]) -> float:
        read = self._values[place]
        return min(read.until, read.at + SECRET_RETRY_SECONDS) if place in suspect else read.until

    async def _read(self, place: Place) -> _Read:
        namespace, name, key = place
        before, now = self._values.get(place), self.clock()
        try:
            return _Read(await self.cluster.secret_value(namespace, name, key), now, now + SECRET_SECONDS)
        except ClusterError as error:
            away = not isinstance(error, NotFound | Forbidden)
            if before is not None and isinstance(before.found, str) and away:
                return _Read(before.found, now, now + SECRET_RETRY_SECONDS)  # the URL has not changed by that
            reason = "SecretForbidden" if isinstance(error, Forbidden) else "SecretUnreadable"
            return _Read((reason, f"Secret {name}, key {key!r}: {error}"), now, now + SECRET_RETRY_SECONDS)


def places(queue: JobQueue) -> list[Place]:
    """Where the URL that the operator uses is, and the one for LISTEN if it has a place of its own."""
    if queue.policy is None:
        return []
    reference = queue.policy.database_ref
    secret = reference.operator_secret_ref or reference.secret_ref
    keys = [secret.key]
    if reference.direct_key is not None and reference.operator_secret_ref is None:
        keys.append(reference.direct_key)
    return [(queue.namespace, secret.name, key) for key in keys]
