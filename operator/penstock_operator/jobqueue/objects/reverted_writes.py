"""Detects another writer that undoes each of our writes of one object, reports it, and does not fight it. Pure.

A controller or an admission webhook that disagrees with an owned object restores its own value after each repair. Each
round wakes the watch, so both write as fast as the API server answers. An edit by a person is repaired; the tenth
identical repair within five minutes counts as a fight, and the object is left alone for a pause that doubles. Each
pause ends with one more attempt. Once a write has lasted for a minute, the fight is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ...errors import ChangesUndone
from ...resources.adoption import Meta
from ..failure_backoff import MAX_REST_SECONDS, REST_SECONDS

REPAIRS: Final = 10
"""Identical writes within the window that were undone; after that the object is left alone."""
WINDOW_SECONDS: Final = 300.0
QUIET_SECONDS: Final = 60.0
"""A write that lasts this long has not been undone."""


class UndoneWrites:
    """The writes of one object that repaired a change by another writer.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._digest, self._stands = "", False
        self._repairs: list[float] = []
        self._rests = 0
        self._until = float("-inf")
        self._error: ChangesUndone | None = None

    @property
    def due_at(self) -> float:
        """When the result of `check` may change, by the clock; infinity while no write is undone."""
        if self._error is None:
            return math.inf
        return self._repairs[-1] + QUIET_SECONDS if self._stands else self._until

    def check(self, digest: str, *, stands: bool) -> None:
        """Return if the object may be written, or is well.

        Args:
            digest: of what is wanted; a fight about something else is over.
            stands: whether it is as it was written last.

        Raises:
            ChangesUndone: another writer undoes the writes, and it is not yet time for the next one.
        """
        if digest != self._digest:
            self._forget(digest)
        self._stands = stands
        if self._error is None:
            return
        now = self._clock()
        if stands and now - self._repairs[-1] >= QUIET_SECONDS:
            self._forget(digest)
        elif stands or now < self._until:
            raise self._error.with_traceback(None)

    def repaired(self, wanted: Mapping[str, Any], found: Meta | None) -> bool:
        """Record that an identical write was repeated, because another writer had changed the object.

        Args:
            wanted: what was written, the same that was last checked.
            found: the object before; None: it had been deleted.

        Returns:
            Whether this started a fight.
        """
        now, known = self._clock(), self._error is not None
        self._repairs = [at for at in self._repairs if now - at < WINDOW_SECONDS] + [now]
        if len(self._repairs) < REPAIRS and not known:
            return False
        self._until = now + min(MAX_REST_SECONDS, REST_SECONDS * 2.0 ** min(self._rests, 10))
        self._rests += 1
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        self._error = ChangesUndone(
            f"{kind} {name}: {_who(found)}, after each of {REPAIRS} identical repairs within"
            f" {WINDOW_SECONDS / 60:.0f} minutes. The operator leaves it unchanged for now; stop the other writer from "
            f"changing this {kind}.",
            status=409,
        )
        return not known

    def _forget(self, digest: str) -> None:
        self._digest, self._error, self._rests = digest, None, 0
        self._repairs.clear()
        self._until = float("-inf")


def _who(found: Meta | None) -> str:
    if found is None:
        return "another client deletes it again"
    if found.last_writer:
        return f"the field manager {found.last_writer} undoes the change"
    return "an admission webhook, or a client that writes as the operator, undoes the change"
