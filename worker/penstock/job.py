"""Frozen values of a job: what a worker claims, what a caller enqueues, what anybody may look up.

No behaviour and no I/O. `ClaimedJob` and `Finished` are msgspec structs: one of each is made per job on the hot path.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal

import msgspec


class JobState(enum.StrEnum):
    """Where a job is. Exactly one at a time; the words of the view `penstock.jobs`."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED})
"""States that a job does not leave by itself."""


class UniqueKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key under which a job is the only live one of its queue.

    `until` "start": until a worker claims it; "finish": until it ends. `expires`: seconds after which another may have
    the key all the same. `on_conflict` "ignore": the holder's id is returned instead; "raise": UniqueConflict.
    """

    key: str
    until: Literal["start", "finish"] = "finish"
    expires: float | None = None
    on_conflict: Literal["ignore", "raise"] = "ignore"


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job about to be enqueued.

    `args` and `headers` are JSON objects as text. `priority` is 0 to 3, lower first. `delay` is in seconds from the
    moment of the insert on the database's clock; `at` is an absolute time; at most one of them is given.
    `max_attempts` of None means the queue's.
    """

    task: str
    args: str
    queue: str = "default"
    priority: int = 1
    max_attempts: int | None = None
    delay: float | None = None
    at: datetime | None = None
    headers: str | None = None
    unique: UniqueKey | None = None


class ClaimedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job, as a claim hands it to a worker.

    `attempt` counts from 1. `token` names this claim and no other, `worker` the registration that made it; every write
    about the attempt carries both.
    `wait` is seconds from ready to claimed, on the database's clock.
    """

    id: int
    token: int
    worker: int
    attempt: int
    max_attempts: int
    crashes: int
    queue: str
    priority: int
    task: str
    args: str
    headers: str | None = None
    wait: float = 0.0


class OutcomeState(enum.StrEnum):
    """The outcome of an attempt; the words of `outcome.state` and of the metric label `outcome`."""

    COMPLETED = "completed"
    RETRY = "retry"
    SNOOZE = "snooze"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's end, on its way to the acknowledger.

    `delay` (seconds) is for RETRY and SNOOZE. `error` and `result` are JSON text. `duration` is seconds of run time on
    the worker's monotonic clock. `reason` is one word: why a retry, a snooze, a cancellation or a dead letter came
    about (`error`, `asked`, `task_unknown`, `breaker`, `exhausted`, `non_retryable`, `timeout`, ...). `fault`: it ended
    in an exception, a timeout or a crash, not by what the task asked for; circuit breakers count these. Not stored.
    """

    job: ClaimedJob
    state: OutcomeState
    duration: float = 0.0
    delay: float = 0.0
    reason: str | None = None
    error: str | None = None
    result: str | None = None
    forensics: str | None = None
    fault: bool = False


RunAttempt = Callable[[ClaimedJob], Awaitable[Finished]]
"""Runs one attempt of a job to its outcome; middleware wraps it. Raises nothing but cancellation."""


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `penstock.jobs`: any job, ended ones too. Times are the database's, with time zone.

    `progress` is what a running attempt reported last: `done`, `total` and perhaps a `note`; None otherwise.
    """

    id: int
    state: JobState
    queue: str
    task: str
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    created_at: datetime
    ready_at: datetime | None = None
    due_at: datetime | None = None
    claimed_at: datetime | None = None
    finished_at: datetime | None = None
    worker: int | None = None
    reason: str | None = None
    args: Any = None
    headers: Any = None
    errors: Any = None
    result: Any = None
    progress: Any = None
