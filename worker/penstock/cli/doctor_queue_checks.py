"""The checks of `penstock doctor` for queues: paused, unserved and undeclared ones. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.plural import plural

from .doctor_checks import Finding, ok, some, warning
from .output import format_duration, safe

WAITED_SECONDS: Final = 60.0
MANY_UNDECLARED: Final = 100
"""More undeclared queues than this are a warning."""
COUNTED_QUEUES: Final = 10_000
COUNTED_JOBS: Final = 1_000
"""Where functions/undeclared.sql stops counting."""


def of_queues(queues: Sequence[Any]) -> Iterator[Finding]:
    """Paused queues, and queues with ready jobs but without a worker."""
    paused = [queue for queue in queues if queue.paused is not None]
    if paused:
        by_hand = [queue.name for queue in paused if queue.resumable]
        named = [f"{q.name} (for {format_duration(q.paused)}, by {safe(q.pauser)})" for q in paused]
        hint = f"`penstock queues resume {by_hand[0]}`" if by_hand else "change spec.stopPolicy of their JobQueues"
        yield warning("queues paused", some(named), f"to resume: {hint}")
    else:
        yield ok("queues paused", f"none of {len(queues)}")
    unserved = [
        q for q in queues if q.ready and not q.workers and q.paused is None and (q.oldest or 0) > WAITED_SECONDS
    ]
    if unserved:
        named = [f"{q.name} ({q.ready:,} ready, oldest {format_duration(q.oldest)})" for q in unserved]
        hint = "check their JobQueues with `kubectl get jobqueues`, or run `penstock worker APP --queue NAME`"
        yield warning("queues served", f"no worker serves {some(named)}", hint)
    else:
        yield ok("queues served", "every queue with jobs that have waited for a minute has a worker")


def of_undeclared(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Queues that only enqueueing created; yields nothing for a schema that does not count them."""
    found = state.get("undeclared")
    if found is None:
        return
    number, free = found["number"], found["free"]
    if not number:
        yield ok("queues undeclared", f"none of at most {found['most']:,}")
        return
    message = f"{number:,}{' or more' if number >= COUNTED_QUEUES else ''}; room for {free:,} more"
    if found["newest"] is not None:
        message += f"; newest {found['newest']}, {format_duration(found['newest_seconds'])} old"
    if found["biggest"] is not None:
        jobs = found["biggest_jobs"]
        count = f"{jobs:,} or more jobs" if jobs >= COUNTED_JOBS else plural(jobs, "job")
        message += f"; largest {found['biggest']} ({count})"
    if number > MANY_UNDECLARED or not free:
        hint = (
            "find the application that enqueues to these names; `penstock jobs cancel --queue NAME` empties a queue, "
            "which is removed a day later; create JobQueues or workers for wanted ones; to change the maximum, "
            "as the owner: SELECT penstock.limit_undeclared(NUMBER)"
        )
        yield warning("queues undeclared", message, hint)
    else:
        yield ok("queues undeclared", message)
