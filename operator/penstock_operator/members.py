"""A JobQueue in the loop of its database: what is known of its queue, and how soon that has to be sampled again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from penstock.store import QueueState

from .look import Look
from .queue import Queue
from .resource import JobQueue
from .sampling import SOON_SECONDS

MOVING_SECONDS: Final = 0.5
BUSY_SECONDS: Final = 1.0
DEFERRED_SECONDS: Final = 2.0
"""The replicas for a job that falls due between two polls are to start before that."""
POLL_SECONDS: Final = 15.0
MAX_SOON_SECONDS: Final = 60.0
"""What is due later than that is never counted as due soon, however slow the slowest queue's pods start."""


@dataclass(frozen=True, slots=True)
class Member:
    """A JobQueue of a loop, with what makes it refused, if anything does."""

    queue: JobQueue
    refusal: tuple[str, str] | None = None

    @property
    def queue_name(self) -> str | None:
        """Of the queue in the database; None where the JobQueue is invalid."""
        return None if self.queue.policy is None else self.queue.policy.queue_name

    def state(self, states: Mapping[str, QueueState]) -> QueueState | None:
        """What a sample says of its queue."""
        return None if self.queue_name is None else states.get(self.queue_name)


def ready(look: Look) -> int:
    """Jobs that wait, as far as that is known."""
    return 0 if look.state is None else look.state.ready


def pause_of(member: Member, queue: Queue | None, state: QueueState | None) -> float:
    """Seconds within which the queue is to be sampled again: few while something moves, more while it has work.

    Args:
        member: the JobQueue.
        queue: its reconciliation, None before the first.
        state: of its queue in the last sample.
    """
    policy = member.queue.policy
    longest = POLL_SECONDS if policy is None else float(policy.scaling.activation.poll_period_seconds)
    if queue is None or not queue.settled:
        longest = min(longest, BUSY_SECONDS if state is not None and state.ready else MOVING_SECONDS)
    else:
        longest = min(longest, max(MOVING_SECONDS, queue.due_at - time.monotonic()))
    deferred = state is not None and state.deferred
    return min(longest, DEFERRED_SECONDS if deferred else math.inf)


def soon_of(queues: Iterable[Queue]) -> float:
    """Seconds within which a job that falls due is counted: what the slowest queue's pods need to start, and a poll."""
    starts = [queue.startup_seconds or SOON_SECONDS for queue in queues]
    return min(MAX_SOON_SECONDS, max(starts, default=SOON_SECONDS) + DEFERRED_SECONDS)
