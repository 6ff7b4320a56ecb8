"""The history of each pod that its object does not have: since when it has been in its state. Pure.

Kept in memory only. A new operator has seen nothing yet, so it waits a little longer before it removes a drained pod.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...resources.resource import Pod

ASKED_SECONDS: Final = 10.0
"""A pod that was never seen with a worker, which may have had one before this operator came, is asked about then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Seconds, until the last observation, for which a pod has been seen in a state; 0.0 while it is not in it.

    Args:
        waiting: without ever having been ready or registered.
        missing: without a live worker, after it had one.
        drained: with a worker that reported itself as drained.
        unready: not ready.
        was_ready: whether it has been seen ready, since its worker registered and was last called back.
    """

    waiting: float = 0.0
    missing: float = 0.0
    drained: float = 0.0
    unready: float = 0.0
    was_ready: bool = False


UNSEEN: Final = Seen()


@dataclass(slots=True)
class _Memory:
    waiting: float | None
    missing: float | None = None
    drained: float | None = None
    unready: float | None = None
    was_ready: bool = False
    registered: bool = False
    worker: int | None = None


class PodHistory:
    """The pods of one queue."""

    def __init__(self) -> None:
        self._pods: dict[str, _Memory] = {}
        self._now = 0.0

    def observe(
        self, pods: Sequence[Pod], *, registered: Mapping[str, int], drained: Container[str], now: float
    ) -> None:
        """Take note of the pods that there are.

        Args:
            pods: not terminating.
            registered: ids of the live workers by the names of their pods.
            drained: names of those whose worker is drained.
            now: monotonic seconds.
        """
        kept = {}
        for pod in pods:
            one = kept[pod.uid] = self._pods.get(pod.uid) or _Memory(now)
            worker = registered.get(pod.name, one.worker)
            called_back = one.drained is not None and pod.name in registered and pod.name not in drained
            one.was_ready = pod.ready or (one.was_ready and worker == one.worker and not called_back)
            one.worker = worker
            one.registered |= pod.name in registered
            one.waiting = None if one.was_ready or one.registered else one.waiting
            one.missing = _since(one.missing, now, holds=one.registered and pod.name not in registered)
            one.drained = _since(one.drained, now, holds=pod.name in drained)
            one.unready = _since(one.unready, now, holds=not pod.ready)
        self._pods, self._now = kept, now

    @property
    def seen(self) -> dict[str, Seen]:
        """By uid."""
        return {
            uid: Seen(
                waiting=self._seconds(one.waiting),
                missing=self._seconds(one.missing),
                drained=self._seconds(one.drained),
                unready=self._seconds(one.unready),
                was_ready=one.was_ready,
            )
            for uid, one in self._pods.items()
        }

    def may_be_lost(self, registered: Container[str], pods: Sequence[Pod]) -> bool:
        """True if a pod has no live worker though it should: it had one, is ready, or has had the time for it."""
        seen = self.seen
        return any(
            pod.ready or seen[pod.uid].missing > 0 or seen[pod.uid].waiting >= ASKED_SECONDS
            for pod in pods
            if pod.name not in registered and pod.uid in seen
        )

    def _seconds(self, since: float | None) -> float:
        return 0.0 if since is None else self._now - since


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if before is None else before
