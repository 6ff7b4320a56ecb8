"""Detects another writer of a Deployment's replicas, reports it, and does not fight it. Pure.

An autoscaler that targets the Deployment sets its number every fifteen seconds, and the operator would restore its own
at once: dozens of writes a minute, in which pods come and go. A person's `kubectl scale` is undone, but the third
within five minutes counts as intended. The managed fields of the object name the last writer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from ...errors import Refused
from ...resources.resource import Deployment
from ..failure_backoff import MAX_REST_SECONDS, REST_SECONDS

REPAIRS: Final = 3
"""Changes by others within the window that are put back; the last of them is left."""
WINDOW_SECONDS: Final = 300.0
QUIET_SECONDS: Final = 60.0
"""Without another change by others after one of ours: they have stopped. Autoscalers act every 15 s."""
_AUTOSCALER: Final = "kube-controller-manager"
"""As this manager only a HorizontalPodAutoscaler writes replicas, KEDA's too."""


class ForeignScaler(Refused):
    """The replicas are not changed now, because another writer sets them too."""


class SecondScaler:
    """The known other writers of one Deployment's replicas.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changes: list[float] = []
        self._generation: int | None = None
        self._name = ""
        self._seen_at = self.until = float("-inf")
        self._rests = 0
        self.due_at = math.inf
        """When what `observe` says may change though the Deployment does not, by the clock."""

    def observe(self, deployment: Deployment, desired: int) -> str:
        """Who else scales it, in words for a sentence; empty while nobody does.

        What the first call sees was there before, however long: only what changes afterwards is somebody's doing.
        """
        now, scaler = self._clock(), deployment.meta.scaler
        changed = bool(scaler) and self._generation not in {None, deployment.generation}
        self._generation = deployment.generation
        self._changes = [at for at in self._changes if now - at < WINDOW_SECONDS]
        if changed:
            self._seen_at = now
        if scaler and deployment.replicas != desired:
            if changed:
                self._changes.append(now)
                if self._name or scaler == _AUTOSCALER or len(self._changes) >= REPAIRS:
                    self._contested(scaler, now)
        elif self._name and now - self._seen_at >= QUIET_SECONDS:
            self._name, self._rests, self.until = "", 0, float("-inf")
            self._changes.clear()
        times = (self.until, self._seen_at + QUIET_SECONDS) if self._name else ()
        self.due_at = min((at for at in times if at > now), default=math.inf)
        return self._name

    def _contested(self, scaler: str, now: float) -> None:
        self._name = "a HorizontalPodAutoscaler (KEDA creates one, too)" if scaler == _AUTOSCALER else scaler
        self.until = now + min(MAX_REST_SECONDS, REST_SECONDS * 2.0**self._rests)
        self._rests = min(self._rests + 1, 10)

    def check(self) -> None:
        """Return if the replicas may be changed now.

        Raises:
            ForeignScaler: not before `until`.
        """
        if self._clock() < self.until:
            raise ForeignScaler(f"{self._name} also sets the replicas", status=409)
