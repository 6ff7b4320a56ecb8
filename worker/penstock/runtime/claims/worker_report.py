"""The worker report that goes with each renewal of the lease: running jobs with age and progress, and the last outcome.

Built by the lease thread, from a blocked event loop too, so it works on copies. Bounded to the oldest attempts and
those that reported progress; the number of the others is included. It has ages, not times: the reader adds what has
passed since the renewal, on the database's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.job import Finished

from .held_claims import HeldClaims

MAX_JOBS = 10
"""Attempts in a report, oldest first; a row that is updated at each renewal must stay small."""


def report(held_claims: HeldClaims, *, clock: Callable[[], float] = time.monotonic) -> str:
    """JSON: jobs with id, task, attempt, age in seconds and progress; `more`; and the last one acknowledged."""
    jobs, now, progress = held_claims.snapshot(), clock(), dict(held_claims.progress)
    reporting = [job for job in jobs if job.id in progress][:MAX_JOBS]
    chosen = [*reporting, *(job for job in jobs[: 2 * MAX_JOBS] if job.id not in progress)][:MAX_JOBS]
    chosen.sort(key=held_claims.since)
    found: dict[str, Any] = {
        "jobs": [
            {
                "id": job.id,
                "task": job.task,
                "attempt": job.attempt,
                "age": round(now - held_claims.since(job), 1),
                **({"progress": progress[job.id]} if job.id in progress else {}),
            }
            for job in chosen
        ],
        "more": len(jobs) - len(chosen),
    }
    if held_claims.last is not None:
        found["last"] = _last(*held_claims.last, now=now)
    return msgspec.json.encode(found).decode()


def _last(outcome: Finished, at: float, *, now: float) -> dict[str, Any]:
    return {"id": outcome.job.id, "task": outcome.job.task, "outcome": outcome.state.value, "age": round(now - at, 1)}
