"""From how an attempt went to the outcome that is stored. Pure: time is not asked, randomness comes as an argument.

Text that goes into jsonb is made fit for it here: no NUL, no lone surrogate, a bounded length.
"""

from __future__ import annotations

import random
import traceback
from typing import Any

import msgspec

from penstock.backoff import NEVER, Backoff
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import Cancel, Retry, Snooze, TaskOutcome
from penstock.tasks import Task

LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 16_000
"""Characters kept of an error; the end of a traceback says most, so its beginning is cut."""
LONGEST_REASON = 500
UNKNOWN_TASK_DELAY = 30.0
"""Seconds, jittered by a half, until a job is looked at again whose task this App does not know."""


def fit(text: str, length: int) -> str:
    """`text` as jsonb can hold it, its last `length` characters."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return text if len(text) <= length else "…" + text[1 - length :]


def describe(error: BaseException, attempt: int) -> str:
    """JSON of an error for the attempt history: type, message, traceback as text, attempt."""
    kind = type(error)
    lines = "".join(traceback.format_exception(error))
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - a task's exception may be anything
        message = f"<{kind.__name__} without a text: {type(broken).__name__}>"
    record = {
        "attempt": attempt,
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": fit(message, LONGEST_MESSAGE),
        "traceback": fit(lines, LONGEST_TRACEBACK),
    }
    return msgspec.json.encode(record).decode()


class Endings:
    """Turns how an attempt went into what is stored.

    Args:
        backoff: of tasks that say nothing.
        chance: draws the jitter.
    """

    def __init__(self, *, backoff: Backoff, chance: random.Random) -> None:
        self._backoff, self._chance = backoff, chance

    def of_outcome(self, job: ClaimedJob, outcome: TaskOutcome, duration: float) -> Finished:
        """What the task said about its own attempt."""
        match outcome:
            case Snooze():
                reason = fit(outcome.reason or "asked", LONGEST_REASON)
                return Finished(
                    job=job, state=OutcomeState.SNOOZE, duration=duration, delay=outcome.delay, reason=reason
                )
            case Cancel():
                reason = fit(outcome.reason, LONGEST_REASON)
                return Finished(job=job, state=OutcomeState.CANCELLED, duration=duration, reason=reason)
            case Retry():
                delay = self._backoff.delay(job.attempt, random=self._chance.random)
                delay = delay if outcome.delay is None else outcome.delay
                return _again(
                    job, outcome, duration, delay=delay, reason=fit(outcome.reason or "asked", LONGEST_REASON)
                )
        raise TypeError(f"outcome of {job.task}: must be Retry, Snooze or Cancel, got {type(outcome).__name__}")

    def of_error(
        self, job: ClaimedJob, task: Task[..., Any, ..., Any], error: BaseException, duration: float
    ) -> Finished:
        """The attempt failed: again after a while, or a dead letter."""
        policy = task.backoff_for(error) or self._backoff
        if policy is NEVER:
            text = describe(error, job.attempt)
            return Finished(job=job, state=OutcomeState.FAILED, duration=duration, reason="non_retryable", error=text)
        delay = policy.delay(job.attempt, random=self._chance.random)
        return _again(
            job, error, duration, delay=delay, reason="timeout" if isinstance(error, TimeoutError) else "error"
        )

    def of_invalid_arguments(self, job: ClaimedJob, error: Exception) -> Finished:
        """The stored arguments do not fit the task any more; running again would not help."""
        text = describe(error, job.attempt)
        return Finished(job=job, state=OutcomeState.FAILED, reason="invalid_arguments", error=text)

    def of_unstorable_result(self, job: ClaimedJob, error: Exception, duration: float) -> Finished:
        """The task ran and its effects are there, but what it returned cannot be kept: visible, and not run again."""
        text = describe(error, job.attempt)
        return Finished(job=job, state=OutcomeState.FAILED, duration=duration, reason="unstorable_result", error=text)

    def of_unknown_task(self, job: ClaimedJob) -> Finished:
        """No task of that name here: perhaps the next version has it. Never imported, never failed."""
        delay = UNKNOWN_TASK_DELAY * self._chance.uniform(0.75, 1.25)
        return Finished(job=job, state=OutcomeState.SNOOZE, delay=delay, reason="task_unknown")


def _again(job: ClaimedJob, error: BaseException, duration: float, *, delay: float, reason: str) -> Finished:
    text = describe(error, job.attempt)
    if job.attempt >= job.max_attempts:
        return Finished(job=job, state=OutcomeState.FAILED, duration=duration, reason="exhausted", error=text)
    return Finished(job=job, state=OutcomeState.RETRY, duration=duration, delay=delay, reason=reason, error=text)
