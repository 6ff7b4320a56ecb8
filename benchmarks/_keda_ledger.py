"""What the attempts of the KEDA benchmark say: which jobs were interrupted, and when the last one finished. Pure.

An attempt is interrupted if it never finished although its job did or another attempt of it started. An attempt that
still runs is not.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the benchmark's table of attempts.

    Args:
        job_id: of the job.
        pod: that it ran in.
        started_at: seconds since the epoch.
        finished_at: seconds since the epoch, None if it never finished.
    """

    job_id: int
    pod: str
    started_at: float
    finished_at: float | None


def interrupted(attempts: Iterable[Attempt]) -> set[int]:
    """Jobs of which an attempt was broken off: a later attempt of the same job started."""
    by_job: dict[int, list[Attempt]] = defaultdict(list)
    for one in attempts:
        by_job[one.job_id].append(one)
    found = set()
    for job_id, ones in by_job.items():
        *earlier, _ = sorted(ones, key=lambda one: one.started_at)
        if any(one.finished_at is None for one in earlier):
            found.add(job_id)
    return found


def lost_seconds(attempts: Iterable[Attempt]) -> float:
    """Work that was done twice: from the start of each broken-off attempt to the start of the next of its job."""
    by_job: dict[int, list[Attempt]] = defaultdict(list)
    for one in attempts:
        by_job[one.job_id].append(one)
    lost = 0.0
    for ones in by_job.values():
        ordered = sorted(ones, key=lambda one: one.started_at)
        for earlier, later in itertools.pairwise(ordered):
            if earlier.finished_at is None:
                lost += later.started_at - earlier.started_at
    return lost


def finished(attempts: Iterable[Attempt]) -> dict[int, float]:
    """Jobs that have finished, and when the first of their attempts to finish did."""
    found: dict[int, float] = {}
    for one in attempts:
        if one.finished_at is not None:
            found[one.job_id] = min(one.finished_at, found.get(one.job_id, one.finished_at))
    return found
