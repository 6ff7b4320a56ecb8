"""What a worker tells people with each renewal of its lease: what it works on, since when, how far, and its last job.

Read by the lease thread from a blocked loop too, so it copies before it looks. Bounded: the oldest attempts and those
that told their progress; how many more there are is a number. Ages, not times: the reader adds what passed since the
renewal, on the database's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.job import Finished

from .held_claims import HeldClaims

MAX_JOBS = 10
"""Attempts in a report, oldest first; a row of the registry must stay small, for it is renewed often."""


def report(held: HeldClaims, *, clock: Callable[[], float] = time.monotonic) -> str:
    """JSON: jobs with id, task, attempt, age in seconds and progress; `more`; and the last one acknowledged."""
    jobs, now, progress = held.snapshot(), clock(), dict(held.progress)
    told = [job for job in jobs if job.id in progress][:MAX_JOBS]
    chosen = [*told, *(job for job in jobs[: 2 * MAX_JOBS] if job.id not in progress)][:MAX_JOBS]
    chosen.sort(key=held.since)
    found: dict[str, Any] = {
        "jobs": [
            {
                "id": job.id,
                "task": job.task,
                "attempt": job.attempt,
                "age": round(now - held.since(job), 1),
                **({"progress": progress[job.id]} if job.id in progress else {}),
            }
            for job in chosen
        ],
        "more": len(jobs) - len(chosen),
    }
    if held.last is not None:
        found["last"] = _last(*held.last, now=now)
    return msgspec.json.encode(found).decode()


def _last(outcome: Finished, at: float, *, now: float) -> dict[str, Any]:
    return {"id": outcome.job.id, "task": outcome.job.task, "outcome": outcome.state.value, "age": round(now - at, 1)}
