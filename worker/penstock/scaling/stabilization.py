"""Stabilization windows: the highest, or the lowest, replica count wanted within the last seconds.

A count stays wanted from its decision until the next decision, however long that is; therefore the latest one counts as
wanted until now. Only counts that can still become the extreme are kept: at most one entry per replica count. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, le

from .types import ReplicaSample


def falling(samples: tuple[ReplicaSample, ...], now: float, replicas: int, window: float) -> tuple[ReplicaSample, ...]:
    """The samples after `replicas` was wanted at `now`; the first is the highest of the last `window` seconds."""
    return _with(samples, now, replicas, window, le)


def rising(samples: tuple[ReplicaSample, ...], now: float, replicas: int, window: float) -> tuple[ReplicaSample, ...]:
    """The samples after `replicas` was wanted at `now`; the first is the lowest of the last `window` seconds."""
    return _with(samples, now, replicas, window, ge)


def samples_within(samples: tuple[ReplicaSample, ...], now: float, window: float) -> tuple[ReplicaSample, ...]:
    """The samples younger than `window` seconds."""
    return tuple(sample for sample in samples if sample.at > now - window)


def _with(
    samples: tuple[ReplicaSample, ...],
    now: float,
    replicas: int,
    window: float,
    superseded: Callable[[int, int], bool],
) -> tuple[ReplicaSample, ...]:
    until_now = tuple(ReplicaSample(now, sample.replicas) for sample in samples[-1:])
    kept: list[ReplicaSample] = []
    for sample in (*samples_within((*samples, *until_now), now, window), ReplicaSample(now, replicas)):
        while kept and superseded(kept[-1].replicas, sample.replicas):
            kept.pop()
        kept.append(sample)
    return tuple(kept)
