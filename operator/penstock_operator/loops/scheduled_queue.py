"""A JobQueue in the loop of its database: the state of its queue, and when to sample it again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from penstock.store import QueueState

from ..database.client import DatabaseClient
from ..database.connection import SOON_SECONDS
from ..jobqueue.observation import QueueSample
from ..jobqueue.reconciler import JobQueueReconciler
from ..resources.resource import JobQueue

MOVING_SECONDS: Final = 0.5
BUSY_SECONDS: Final = 1.0
DEFERRED_SECONDS: Final = 2.0
"""Between samples of a queue with deferred jobs: replicas have to start before a job becomes due."""
POLL_SECONDS: Final = 15.0
MAX_SOON_SECONDS: Final = 60.0
"""Jobs that become due later never count as due soon, however slowly pods start."""


@dataclass(frozen=True, slots=True)
class ScheduledQueue:
    """A JobQueue of a loop; `refusal` is reason and message why it must not be reconciled, if there is one."""

    queue: JobQueue
    refusal: tuple[str, str] | None = None

    @property
    def queue_name(self) -> str | None:
        """Of the queue in the database; None where the JobQueue is invalid."""
        return None if self.queue.policy is None else self.queue.policy.queue_name

    def state(self, states: Mapping[str, QueueState]) -> QueueState | None:
        """The part of a sample that belongs to its queue."""
        return None if self.queue_name is None else states.get(self.queue_name)


def ready(sample: QueueSample) -> int:
    """Ready jobs; 0 if the queue was not sampled."""
    return 0 if sample.state is None else sample.state.ready


def pause_of(member: ScheduledQueue, reconciler: JobQueueReconciler | None, state: QueueState | None) -> float:
    """Seconds until the queue has to be sampled again: few while something changes, more while it has work.

    Args:
        member: the JobQueue.
        reconciler: of the queue; None before the first reconciliation.
        state: of its queue in the last sample.
    """
    policy = member.queue.policy
    pause = POLL_SECONDS if policy is None else float(policy.scaling.activation.poll_period_seconds)
    if reconciler is None or not reconciler.settled:
        pause = min(pause, BUSY_SECONDS if state is not None and state.ready else MOVING_SECONDS)
    else:
        pause = min(pause, max(MOVING_SECONDS, reconciler.due_at - time.monotonic()))
    deferred = state is not None and state.deferred
    return min(pause, DEFERRED_SECONDS if deferred else math.inf)


async def pause_until_next(
    database: DatabaseClient,
    states: Mapping[str, QueueState],
    members: Sequence[ScheduledQueue],
    reconcilers: Mapping[str, JobQueueReconciler],
) -> float:
    """Seconds until the next sample of a database.

    Short while something changes, a second while there is work, otherwise the minimum of all poll periods.
    """
    here = [(member, member.state(states)) for member in members if member.refusal is None]
    database.rest(state.id for _, state in here if state is not None and state.ready == 0)
    pauses = (pause_of(one, reconcilers.get(one.queue.uid), state) for one, state in here)
    return await database.pause(min([POLL_SECONDS, *pauses]))


def soon_of(reconcilers: Iterable[JobQueueReconciler]) -> float:
    """Return the seconds for which jobs due soon are counted: the longest startup time of any queue, and one poll."""
    starts = [one.startup_seconds or SOON_SECONDS for one in reconcilers]
    return min(MAX_SOON_SECONDS, max(starts, default=SOON_SECONDS) + DEFERRED_SECONDS)
