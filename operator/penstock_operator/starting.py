"""How long a queue's pods take from being wanted to serving: learnt from those that were seen to start. Pure.

Kept in memory only: a new operator has no estimate, and `decide` then counts none. A pod that served already when it
was first seen says nothing, and one that never serves (a crash, a missing image) has not started and is not counted.
The mean is exponential, so that an image that grew, or a node pool that is slow today, is believed after a few pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WEIGHT: Final = 0.3
"""Of the newest start in the mean; the last five make five sixths of it."""
SHORTEST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 600.0
"""A start that took longer was somebody's repair, not a start."""


class Starts:
    """The starts of one queue's pods; `seconds` is their mean, None while none was seen."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._waiting: dict[str, float] = {}
        self._known: set[str] = set()

    def look(self, pods: Iterable[tuple[str, bool]], now: float) -> None:
        """Take note of the pods that there are.

        Args:
            pods: uid, and whether it serves: it is ready, or its worker has registered.
            now: monotonic seconds.
        """
        here = dict(pods)
        for uid, serves in here.items():
            if uid in self._known:
                continue
            if serves:
                self._known.add(uid)
                if (since := self._waiting.pop(uid, None)) is not None:
                    self._learn(now - since)
            else:
                self._waiting.setdefault(uid, now)
        self._known &= here.keys()
        self._waiting = {uid: since for uid, since in self._waiting.items() if uid in here}

    def _learn(self, took: float) -> None:
        if took > LONGEST_SECONDS:
            return
        took = max(SHORTEST_SECONDS, took)
        self.seconds = took if self.seconds is None else self.seconds + WEIGHT * (took - self.seconds)
