"""A kubelet's lag: readiness is published late, in order for one pod, in any order between pods.

Owns: the delays, drawn from a seed and a pod's place, so a run can be repeated. A worker registers, claims and
runs jobs seconds before its pod is Ready, and a success from before a drain may be published after it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SHOWN_SECONDS = 0.05
"""Every result is published, if only for so long."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How late a pod's readiness is published.

    Args:
        min_seconds: shortest delay; 0.0 for both is no lag.
        max_seconds: longest delay.
        seed: of the delays.
    """

    min_seconds: float = 0.0
    max_seconds: float = 0.0
    seed: int = 0

    def of(self, place: int, wake: Callable[[float], None]) -> DelayedReadiness:
        """The readiness of the pod that came so many before it."""
        return DelayedReadiness(self, random.Random(self.seed * 100_003 + place), wake)


class DelayedReadiness:
    """What of one pod's readiness is published already.

    Args:
        lag: bounds of each delay.
        rng: draws them.
        wake: called with the seconds after which to ask again.
    """

    def __init__(self, lag: Lag, rng: random.Random, wake: Callable[[float], None]) -> None:
        self._lag, self._rng, self._wake = lag, rng, wake
        self._latest = self._shown = False
        self._due = 0.0
        self._pending: deque[tuple[float, bool]] = deque()

    def published(self, ready: bool, now: float) -> bool:
        """The readiness that the API server shows at `now` for a pod that is `ready` or not."""
        if self._lag.max_seconds <= 0:
            return ready
        if ready is not self._latest:
            self._latest, delay = ready, self._rng.uniform(self._lag.min_seconds, self._lag.max_seconds)
            self._due = max(self._due + SHOWN_SECONDS, now + delay)
            self._pending.append((self._due, ready))
            self._wake(self._due - now)
        while self._pending and self._pending[0][0] <= now:
            self._shown = self._pending.popleft()[1]
        return self._shown
