"""The reasons why a job is not running, and the sentences of those that a row in the table of jobs names."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple


class Why(enum.StrEnum):
    """All reasons."""

    NO_SUCH_JOB = "no_such_job"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    KEY_TAKEN = "key_taken"
    RUNNING = "running"
    CANCELLING = "cancelling"
    WORKER_GONE = "worker_gone"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    REQUESTED = "requested"
    TASK_UNKNOWN = "task_unknown"
    INCOMPATIBLE_ARGUMENTS = "incompatible_arguments"
    BREAKER_OPEN = "breaker_open"
    CRASH = "crash"
    DEADLINE = "deadline"
    OUTCOME_REJECTED = "outcome_rejected"
    NOT_PROMOTED = "not_promoted"
    LOCKED = "locked"
    PAUSED = "paused"
    LIMIT_COUNTED = "limit_counted"
    AT_LIMIT = "at_limit"
    UNDECLARED = "undeclared"
    NO_WORKER = "no_worker"
    CORDONED = "cordoned"
    BELOW_MARK = "below_mark"
    NEEDS_ISOLATION = "needs_isolation"
    ISOLATED_JOB = "isolated_job"
    BUSY = "busy"
    JOBS_AHEAD = "jobs_ahead"
    NEXT = "next"


class Reason(NamedTuple):
    """One reason: `why` for programs, `message` and `hint` (what to do; may be empty) for people."""

    why: Why
    message: str
    hint: str = ""


_SHOW: Final = "`penstock jobs show {id}`"
DEFERRED: Final[Mapping[str, tuple[Why, str, str]]] = {
    "scheduled": (Why.SCHEDULED, "it was enqueued for that time", "to run it now: `penstock jobs retry {id}`"),
    "error": (Why.RETRY, "attempt {attempt} of {max} failed{error}, and this is the back-off", _SHOW),
    "timeout": (Why.RETRY, "attempt {attempt} of {max} timed out, and this is the back-off", _SHOW),
    "crash": (Why.CRASH, "attempt {attempt} of {max} crashed its child process, and this is the back-off", ""),
    "no_child": (Why.CRASH, "no child process could be started for it; the attempt was refunded", ""),
    "lease_lost": (
        Why.CRASH,
        "it is exclusive, and its worker did not renew its lease in time; the attempt was refunded",
        "",
    ),
    "internal_error": (Why.RETRY, "an internal error of its worker stopped attempt {attempt} of {max}{error}", _SHOW),
    "deadline": (Why.DEADLINE, "attempt {attempt} of {max} ran past the queue's job deadline and was rescued", ""),
    "worker_lost": (
        Why.CRASH,
        "its worker was lost while running it ({crashes}; the third time makes it a dead letter)",
        "",
    ),
    "outcome_rejected": (
        Why.OUTCOME_REJECTED,
        "the database refused the outcome of attempt {attempt} of {max}{error}",
        "`penstock jobs show {id}` has the error; then `penstock jobs retry {id}` or `penstock jobs cancel {id}`",
    ),
    "no_partition": (
        Why.OUTCOME_REJECTED,
        "there was no partition for its outcome; the attempt does not count",
        "a worker creates the partition; if not, run `penstock doctor`",
    ),
    "task_unknown": (
        Why.TASK_UNKNOWN,
        "no worker that claimed it has the task {task}; the attempt was refunded",
        "deploy workers whose App has the task, or add the name as an alias of a task",
    ),
    "incompatible_arguments": (
        Why.INCOMPATIBLE_ARGUMENTS,
        "no worker that claimed it accepts its arguments for task {task}, for {refused}; the attempt was refunded",
        "deploy workers of the release that enqueued it (`penstock jobs show {id}` names the parameter), or cancel it",
    ),
    "breaker": (
        Why.BREAKER_OPEN,
        "the circuit breaker of task {task} is open; the attempt was refunded",
        "the breaker tests the task again by itself; to see its failures: `penstock dead list --task {task}`",
    ),
}
"""By the reason in the row; any other reason comes from the task (Retry or Snooze)."""
