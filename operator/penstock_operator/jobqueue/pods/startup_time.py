"""Estimates how long a queue's pods take from their creation until they serve, from those that were observed. Pure.

Kept in memory only: a new operator has no estimate, and `decide` then assumes zero. A pod that already served when it
was first seen says nothing, and one that never serves (a crash, a missing image) has not started and does not count.
The mean is exponential: after a larger image or on a slower node pool it follows within a few pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WEIGHT: Final = 0.3
"""Weight of the newest pod in the mean; the last five make up five sixths of it."""
MIN_SECONDS: Final = 0.1
MAX_SECONDS: Final = 600.0
"""A pod that took longer was waiting for a repair and does not count."""


class StartupTimeEstimator:
    """The startup time of one queue's pods; `seconds` is the mean, None until one was observed."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._waiting: dict[str, float] = {}
        self._known: set[str] = set()

    def observe(self, pods: Iterable[tuple[str, bool]], now: float) -> None:
        """Record the pods that exist.

        Args:
            pods: uid, and whether the pod serves: it is ready, or its worker is registered.
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
        if took > MAX_SECONDS:
            return
        took = max(MIN_SECONDS, took)
        self.seconds = took if self.seconds is None else self.seconds + WEIGHT * (took - self.seconds)
