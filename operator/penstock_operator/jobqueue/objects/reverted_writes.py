"""Somebody who undoes each of our writes of one object: noticed, told, and not fought with. Pure.

A controller or an admission webhook that disagrees with a JobQueue's child puts its own value back after each repair.
Every round wakes the watch, so both write as fast as the API server answers. An edit by a person is repaired; the tenth
identical repair within five minutes is taken for a fight, and the object is left alone for a pause that doubles. Each
pause ends with one more try. Once a write has stood for a minute, the fight is over.
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
"""Identical writes within the window that were undone; the next one is left alone."""
WINDOW_SECONDS: Final = 300.0
QUIET_SECONDS: Final = 60.0
"""A write that stands for so long has not been undone."""


class UndoneWrites:
    """The writes of one object that repaired what somebody had changed.

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
        """When what `check` says may change, by the clock; infinity while nobody undoes anything."""
        if self._error is None:
            return math.inf
        return self._repairs[-1] + QUIET_SECONDS if self._stands else self._until

    def check(self, digest: str, *, stands: bool) -> None:
        """Return if the object may be written, or is well.

        Args:
            digest: of what is wanted; a fight about something else is over.
            stands: whether it is as it was written last.

        Raises:
            ChangesUndone: somebody undoes the writes, and it is not time for another one, or not sure that it stands.
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

    def repaired(self, wanted: Mapping[str, Any], held: Meta | None) -> bool:
        """Take note that an identical write was repeated, because somebody had changed the object since.

        Args:
            wanted: what was written, the same that was last checked.
            held: the object before; None: it had been deleted.

        Returns:
            Whether this began a fight.
        """
        now, known = self._clock(), self._error is not None
        self._repairs = [at for at in self._repairs if now - at < WINDOW_SECONDS] + [now]
        if len(self._repairs) < REPAIRS and not known:
            return False
        self._until = now + min(MAX_REST_SECONDS, REST_SECONDS * 2.0 ** min(self._rests, 10))
        self._rests += 1
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        self._error = ChangesUndone(
            f"{kind} {name}: {_who(held)}, after each of {REPAIRS} identical repairs within"
            f" {WINDOW_SECONDS / 60:.0f} minutes. It is left as it is for now; have it leave this {kind} alone.",
            status=409,
        )
        return not known

    def _forget(self, digest: str) -> None:
        self._digest, self._error, self._rests = digest, None, 0
        self._repairs.clear()
        self._until = float("-inf")


def _who(held: Meta | None) -> str:
    if held is None:
        return "somebody deletes it again"
    if held.last_writer:
        return f"the field manager {held.last_writer} undoes what the JobQueue says"
    return "an admission webhook, or somebody who writes as the operator, undoes what the JobQueue says"
