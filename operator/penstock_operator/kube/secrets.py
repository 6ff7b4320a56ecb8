"""The Secrets that JobQueues name: read one by one, cached for a minute.

Owns the content and how long it is trusted. A value leaves this module only for the address that a loop connects to,
never in a message. Secrets are read by name; they are never listed and never watched. One request serves all JobQueues
and all keys of a Secret.

If the database cannot be sampled with a Secret, it is read again soon: it may just have been rotated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from penstock.jobqueue.database_ref import TLS_CERTIFICATE, TLS_KEY

from ..errors import ClusterError, Forbidden, NotFound
from ..resources.conditions import Problem
from ..resources.resource import JobQueue
from .client import Cluster
from .secret_content import SecretContent

SECRET_SECONDS: Final = 60.0
SECRET_RETRY_SECONDS: Final = 5.0
"""For a Secret that could not be read, and for one whose URL does not work."""
SOON_TRIES: Final = 3
"""So often in a row that is short; each further time it doubles, up to SECRET_SECONDS."""
AT_ONCE: Final = 4
"""Secrets that are read at a time: the threads for the API server are for everybody."""

SecretName = tuple[str, str]
"""Namespace and name of a Secret."""
SecretKey = tuple[str, str, str]
"""Namespace, name and key of a Secret's value."""


@dataclass(frozen=True, slots=True)
class _Read:
    """Content of a Secret, when it was read, and until when it is trusted; `error` if it could not be read."""

    content: SecretContent | None
    error: ClusterError | None
    at: float
    until: float
    tries: int = 0


@dataclass(slots=True)
class Secrets:
    """Secrets by namespace and name.

    Args:
        cluster: where they are read.
        clock: monotonic seconds.

    `moved_at` is when a Secret was last read: with thousands of them, a round takes longer than one answer may.
    """

    cluster: Cluster
    clock: Callable[[], float] = time.monotonic
    moved_at: float = float("-inf")
    _reads: dict[SecretName, _Read] = field(default_factory=dict)

    def found(self, place: SecretKey) -> str | Problem:
        """The text there, without blanks around it, or why there is none; only of Secrets that were read."""
        namespace, name, key = place
        read = self._reads[namespace, name]
        error = read.error
        if read.content is not None:
            found = read.content.text(key)
            if not isinstance(found, ClusterError):
                return found
            error = found
        reason = "SecretForbidden" if isinstance(error, Forbidden) else "SecretUnreadable"
        return reason, f"Secret {name}, key {key!r}: {error}"

    def content(self, place: SecretName) -> SecretContent | None:
        """All of it, None if it could not be read; only of Secrets that were read."""
        return self._reads[place].content

    async def read(self, wanted: AbstractSet[SecretName], *, suspect: AbstractSet[SecretName]) -> None:
        """Have fresh content, or the reason why there is none, for each of them; once for all who share it.

        Args:
            wanted: every Secret that is needed; the others are forgotten.
            suspect: those whose values do not work.
        """
        now = self.clock()
        self._reads = {place: read for place, read in self._reads.items() if place in wanted}
        due = [place for place in wanted if place not in self._reads or now >= self._until(place, suspect)]
        turns = asyncio.Semaphore(AT_ONCE)
        self._reads |= zip(due, await asyncio.gather(*(self._read(place, turns) for place in due)), strict=True)

    def _until(self, place: SecretName, suspect: AbstractSet[SecretName]) -> float:
        read = self._reads[place]
        if read.error is not None or place not in suspect:
            return read.until
        return min(read.until, read.at + SECRET_RETRY_SECONDS)

    async def _read(self, place: SecretName, turns: asyncio.Semaphore) -> _Read:
        before = self._reads.get(place)
        try:
            async with turns:
                now = self.clock()
                content = await self.cluster.secret(*place)
            return _Read(content, None, now, now + SECRET_SECONDS)
        except ClusterError as error:
            away = not isinstance(error, NotFound | Forbidden)
            if before is not None and before.content is not None and away:
                return _Read(before.content, None, now, now + SECRET_RETRY_SECONDS)  # it has not changed by that
            tries = 1 if before is None or before.error is None else before.tries + 1
            return _Read(None, error, now, now + _pause(tries), tries)
        finally:
            self.moved_at = self.clock()


def _pause(tries: int) -> float:
    """Seconds until a Secret that could not be read so often in a row is read again."""
    return min(SECRET_SECONDS, SECRET_RETRY_SECONDS * 2.0 ** min(10, max(0, tries - SOON_TRIES)))


def secrets_of(queue: JobQueue) -> set[SecretName]:
    """The Secrets that a JobQueue names: the operator's and its workers'."""
    found = {(namespace, name) for namespace, name, _ in places(queue)}
    if queue.policy is not None:
        reference = queue.policy.database_ref
        found.add((queue.namespace, reference.secret_ref.name))
        if reference.client_certificate_secret_ref is not None:
            found.add((queue.namespace, reference.client_certificate_secret_ref.name))
    return found


def places(queue: JobQueue) -> list[SecretKey]:
    """Everything that the operator connects by: a URL or its parts, a URL for LISTEN of its own, certificates."""
    if queue.policy is None:
        return []
    reference = queue.policy.database_ref
    secret = reference.operator_secret_ref or reference.secret_ref
    keys = [secret.key] if secret.parts is None else list(secret.parts.keys().values())
    if reference.direct_key is not None and reference.operator_secret_ref is None:
        keys.append(reference.direct_key)
    found = [(queue.namespace, secret.name, key) for key in keys]
    if reference.ca_secret_ref is not None:
        found.append((queue.namespace, reference.ca_secret_ref.name, reference.ca_secret_ref.key))
    if (client := reference.operators_client_certificate) is not None:
        found += [(queue.namespace, client.name, key) for key in (TLS_CERTIFICATE, TLS_KEY)]
    return found
