"""Builds the outcome of an attempt that is stored. Pure: no clock, and randomness is an argument.

Text for jsonb is made valid here: no NUL, no lone surrogate, a bounded length.
"""

from __future__ import annotations

import random
import traceback
from typing import Any, TypeGuard, TypeVar

import msgspec

from penstock.app.task import Task
from penstock.backoff import NEVER, Backoff
from penstock.errors import ChildCrashed, InvalidArguments, PartitionMissing
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import Cancel, Retry, Snooze, TaskOutcome, checked_seconds
from penstock.settings import DEFAULT_INCOMPATIBLE_SECONDS, Settings

AnyTask = Task[..., Any, ..., Any]

T = TypeVar("T")

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000
"""Characters kept of an error; a traceback is cut at its start, because its last lines say most."""
MAX_REASON = 500
MAX_CRASHES = 3
"""Crashes of a job until it is a dead letter, the number that the database allows for lost workers."""
SNOOZE_SECONDS = 30.0
"""Snooze of a job whose task this App does not know or does not run now; jittered by 25 %."""
INCOMPATIBLE = "incompatible_arguments"
"""Reason of a snooze: the arguments do not fit this release of the task."""
INVALID = "invalid_arguments"
"""Reason of a dead letter: no release accepted them in time, or none ever can."""


PARTITION_SECONDS = 1.0
"""Snooze of an attempt whose own transaction could not store its outcome; the attempt does not count."""


def fit(text: str, length: int) -> str:
    """`text` as jsonb can hold it, its last `length` characters."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return text if len(text) <= length else "…" + text[1 - length :]


def as_text(value: object) -> str:
    """Its text, whatever it is: what a task raises or gives as a reason may be any object, and may have none."""
    try:
        return str(value)
    except BaseException as broken:  # noqa: BLE001 - as above
        return f"<{type(value).__name__} without a text: {type(broken).__name__}>"


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """`isinstance`, which asks an object of the application for its class; a proxy may raise when it is asked."""
    return issubclass(type(value), kind)


def error_json(error: BaseException, attempt: int, **more: object) -> str:
    """JSON of an error for the attempt history: type, message, traceback as text, attempt, and what else is given."""
    try:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
    except BaseException:  # noqa: BLE001 - its class may have none
        name = "builtins.BaseException"
    message = as_text(error)
    try:
        lines = "".join(traceback.format_exception(error))
    except BaseException as broken:  # noqa: BLE001 - it asks the exception for its text and its notes
        lines = f"{name}: {message}\n<its traceback cannot be shown: {type(broken).__name__}>\n"
    record: dict[str, object] = {
        "attempt": attempt,
        "type": fit(name, MAX_REASON),
        "message": fit(message, MAX_MESSAGE),
        "traceback": fit(lines, MAX_TRACEBACK),
        **more,
    }
    if is_a(error, ChildCrashed):
        record["crash"] = True  # the database adds it to the losses of workers
    return msgspec.json.encode(record).decode()


class OutcomeBuilder:
    """Builds outcomes.

    Args:
        backoff: of tasks that set none.
        rng: for jitter.
        incompatible_seconds: how long a job whose arguments do not fit waits for another release; 0: not at all.
    """

    def __init__(
        self, *, backoff: Backoff, rng: random.Random, incompatible_seconds: float = DEFAULT_INCOMPATIBLE_SECONDS
    ) -> None:
        self._backoff, self._rng, self._incompatible_seconds = backoff, rng, incompatible_seconds
        self._exceptions: dict[int, BaseException] | None = None

    @classmethod
    def from_settings(cls, settings: Settings, rng: random.Random) -> OutcomeBuilder:
        """The builder of a worker with these settings."""
        return cls(backoff=settings.backoff, rng=rng, incompatible_seconds=settings.incompatible_seconds)

    def keep_exceptions(self) -> dict[int, BaseException]:
        """From now on, keep the exception of each failed attempt by the id() of its job; the caller removes them."""
        self._exceptions = {}
        return self._exceptions

    def for_outcome(self, job: ClaimedJob, outcome: TaskOutcome, duration: float) -> Finished:
        """The task returned or raised an outcome of its own."""
        match outcome:
            case Snooze():
                delay = checked_seconds(outcome.delay, of="Snooze")
                return Finished(
                    job=job, state=OutcomeState.SNOOZE, duration=duration, delay=delay, reason=_reason(outcome)
                )
            case Cancel():
                return Finished(job=job, state=OutcomeState.CANCELLED, duration=duration, reason=_reason(outcome))
            case Retry():
                delay = self._backoff.delay(job.attempt, random=self._rng.random)
                delay = delay if outcome.delay is None else checked_seconds(outcome.delay, of="Retry")
                return _retry_or_fail(job, outcome, duration, delay=delay, reason=_reason(outcome))
        raise TypeError(f"outcome of {job.task}: must be Retry, Snooze or Cancel, got {type(outcome).__name__}")

    def for_return(
        self,
        job: ClaimedJob,
        task: Task[..., Any, ..., Any],
        value: object,
        error: BaseException | None,
        duration: float,
    ) -> Finished:
        """The task returned a value, or raised an error if that is not None."""
        said = value if error is None else error
        if is_a(said, TaskOutcome):
            try:
                return self.for_outcome(job, said, duration)
            except BaseException as unfit:  # noqa: BLE001 - a subclass of the application's, or one that it changed
                return self.for_error(job, task, unfit, duration)
        if error is not None:
            return self.for_error(job, task, error, duration)
        try:
            result = None if value is None else task.encode_result(value)
        except BaseException as unfit:  # noqa: BLE001 - encoding asks the value for its fields
            return self.for_unstorable_result(job, unfit, duration)
        return Finished(job=job, state=OutcomeState.COMPLETED, duration=duration, result=result)

    def for_error(self, job: ClaimedJob, task: AnyTask, error: BaseException, duration: float) -> Finished:
        """The attempt failed: a retry after the backoff, or a dead letter."""
        if is_a(error, PartitionMissing):  # rolled back; the acknowledgement makes the partition
            return Finished(job=job, state=OutcomeState.SNOOZE, delay=PARTITION_SECONDS, reason="no_partition")
        if self._exceptions is not None:
            self._exceptions[id(job)] = error
        policy = task.backoff_for(error) or self._backoff
        if policy is NEVER:
            text = error_json(error, job.attempt)
            return Finished(
                job=job, state=OutcomeState.FAILED, duration=duration, reason="non_retryable", error=text, fault=True
            )
        delay = policy.delay(job.attempt, random=self._rng.random)
        reason = "timeout" if is_a(error, TimeoutError) else "error"
        return msgspec.structs.replace(_retry_or_fail(job, error, duration, delay=delay, reason=reason), fault=True)

    def for_crash(self, job: ClaimedJob, task: AnyTask, error: ChildCrashed, duration: float) -> Finished:
        """Its child process exited, which is a crash as the loss of a worker is: the third one makes a dead letter."""
        if job.crashes + 1 >= MAX_CRASHES:
            text = error_json(error, job.attempt)
            return Finished(
                job=job, state=OutcomeState.FAILED, duration=duration, reason="poison", error=text, fault=True
            )
        finished = self.for_error(job, task, error, duration)
        return msgspec.structs.replace(finished, reason="crash") if finished.reason == "error" else finished

    def for_invalid_arguments(self, job: ClaimedJob, error: BaseException) -> Finished:
        """The stored arguments do not match the task here, but may match another release: the job waits for one.

        The database makes it a dead letter once that has lasted for `incompatible_seconds`. What is no JSON object fits
        no release of any task, and what else a type of the application's raises is an error of that type.
        """
        if not job.args.startswith("{") or not is_a(error, InvalidArguments):
            return Finished(job=job, state=OutcomeState.FAILED, reason=INVALID, error=error_json(error, job.attempt))
        seconds = self._incompatible_seconds
        text = error_json(error, job.attempt, wait_seconds=seconds)
        return msgspec.structs.replace(self._snooze(job, INCOMPATIBLE), error=text)

    def for_unstorable_result(self, job: ClaimedJob, error: BaseException, duration: float) -> Finished:
        """The task ran, but its result cannot be stored: a dead letter, because a retry would repeat its effects."""
        text = error_json(error, job.attempt)
        return Finished(job=job, state=OutcomeState.FAILED, duration=duration, reason="unstorable_result", error=text)

    def for_unknown_task(self, job: ClaimedJob) -> Finished:
        """This App has no task of that name, but the next release may: snoozed, never failed."""
        return self._snooze(job, "task_unknown")

    def for_open_circuit(self, job: ClaimedJob) -> Finished:
        """The circuit of its task is open here: snoozed, and perhaps claimed by another worker next."""
        return self._snooze(job, "breaker")

    def _snooze(self, job: ClaimedJob, reason: str) -> Finished:
        delay = SNOOZE_SECONDS * self._rng.uniform(0.75, 1.25)
        return Finished(job=job, state=OutcomeState.SNOOZE, delay=delay, reason=reason)


def internal_error_outcome(job: ClaimedJob, error: BaseException, *, reason: str) -> Finished:
    """Code of the worker around the task raised: a failed attempt, built without the parts that may have raised."""
    return _retry_or_fail(job, error, 0.0, delay=SNOOZE_SECONDS, reason=reason)


def _reason(outcome: Snooze | Cancel | Retry) -> str:
    """As text: a task may give an exception as its reason."""
    given = "" if outcome.reason is None else as_text(outcome.reason)
    return fit(given or "asked", MAX_REASON)


def _retry_or_fail(job: ClaimedJob, error: BaseException, duration: float, *, delay: float, reason: str) -> Finished:
    text = error_json(error, job.attempt)
    if job.attempt >= job.max_attempts:
        return Finished(job=job, state=OutcomeState.FAILED, duration=duration, reason="exhausted", error=text)
    return Finished(job=job, state=OutcomeState.RETRY, duration=duration, delay=delay, reason=reason, error=text)
