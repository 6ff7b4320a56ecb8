"""How one job is enqueued: its options, and the calls that take a task's own arguments.

Owns the rules of `.options(...)`. A frozen `Enqueuer` can be kept and used from any thread.

Surprising: an option that is None is an option not given; what is not given comes from the task, then from the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

from ..errors import ConfigurationError, TaskError
from ..job import NewJob
from ..outcomes import seconds
from ..settings import check_queue_name, shown
from ..trace import with_current
from .arguments.codec import encode_headers
from .client import JobHandle
from .unique import Unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .task import Task

P = ParamSpec("P")
R = TypeVar("R")

LOWEST_PRIORITY: Final = 3
MOST_ATTEMPTS: Final = 1000
DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one enqueue, checked; None where not given. `Task.options` explains each."""

    delay: float | timedelta | None = None
    at: datetime | None = None
    priority: int | None = None
    queue: str | None = None
    max_attempts: int | None = None
    headers: Mapping[str, str] | None = None
    unique: Unique | None = None
    connection: object | None = None
    wake: bool = True

    def __post_init__(self) -> None:
        if self.unique is not None and not isinstance(self.unique, Unique):
            raise ConfigurationError(f"options: unique must be a Unique, got {shown(self.unique)}")
        if self.delay is not None:
            try:
                object.__setattr__(self, "delay", seconds(self.delay, of="options"))
            except (TypeError, ValueError) as error:
                raise ConfigurationError(str(error)) from error
        if self.delay is not None and self.at is not None:
            raise ConfigurationError("options: delay and at exclude each other")
        if self.at is not None and getattr(self.at, "tzinfo", None) is None:
            raise ConfigurationError(f"options: at must be a datetime with a time zone, got {shown(self.at)}")
        check_whole(self.priority, of="options: priority", low=0, high=LOWEST_PRIORITY)
        check_whole(self.max_attempts, of="options: max_attempts", low=1, high=MOST_ATTEMPTS)
        check_wake(self.wake)
        if self.queue is not None:
            check_queue_name(self.queue, of="options: queue")

    def call(self) -> dict[str, Any]:
        """What the client's call is given beside the job."""
        return {"connection": self.connection} if self.wake else {"connection": self.connection, "wake": False}

    @property
    def seconds(self) -> float | None:
        """The delay in seconds."""
        return self.delay.total_seconds() if isinstance(self.delay, timedelta) else self.delay


def checked_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    """The jobs of `enqueue_many`.

    Raises:
        TaskError: something else is among them.
    """
    new = list(jobs)
    for job in new:
        if not isinstance(job, NewJob):
            raise TaskError(f"enqueue_many takes what task.job(...) makes, got {shown(job)}")
    return new


def check_wake(value: object) -> bool:
    """Refuse what is no truth value.

    Raises:
        ConfigurationError: names the option and the value.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"options: wake must be True or False, got {shown(value)}")
    return value


def check_whole(value: object, *, of: str, low: int, high: int) -> None:
    """Refuse what is neither None nor a whole number within bounds.

    Raises:
        ConfigurationError: names `of`, the bounds and the value.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
        return
    raise ConfigurationError(f"{of} must be a whole number from {low} to {high}, got {shown(value)}")


class Enqueuer(Generic[P, R]):
    """A task with options, ready to be enqueued any number of times."""

    __slots__ = ("_options", "_task")

    def __init__(self, task: Task[..., Any, P, R], options: Options) -> None:
        self._task = task
        self._options = options

    def options(self, **changes: Any) -> Enqueuer[P, R]:
        """The same with these options instead; takes what `Task.options` takes."""
        return Enqueuer(self._task, replace(self._options, **changes))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue one job. Blocks for one round trip; async callers use `enqueue_async`.

        Raises:
            InvalidArguments, UnencodableArgument, PayloadTooLarge: nothing is written.
            ConfigurationError: no database URL.
            StoreError: the database refused or cannot be used.
        """
        client = self._task.client
        [job_id] = client.enqueue([self._new_job(args, kwargs)], **self._options.call())
        return JobHandle(job_id, client=client, read=self._task.read_result)

    async def enqueue_async(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue`, for async callers and async connections."""
        client = self._task.client
        [job_id] = await client.enqueue_async([self._new_job(args, kwargs)], **self._options.call())
        return JobHandle(job_id, client=client, read=self._task.read_result)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A job for `App.enqueue_many`, checked and encoded now, written then.

        Raises:
            InvalidArguments, UnencodableArgument, PayloadTooLarge: as `enqueue`.
            ConfigurationError: a connection or wake=False was given here; they belong to `enqueue_many`.
        """
        if self._options.connection is not None:
            raise ConfigurationError("options: a connection belongs to enqueue_many(connection=), not to a job")
        if not self._options.wake:
            raise ConfigurationError("options: wake belongs to enqueue_many(wake=), not to a job")
        return self._new_job(args, kwargs)

    def _new_job(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> NewJob:
        task, options = self._task, self._options
        encoded = task.encode(args, kwargs)
        headers = with_current(options.headers)
        return NewJob(
            task=task.name,
            args=encoded,
            queue=options.queue or task.queue,
            priority=task.priority if options.priority is None else options.priority,
            max_attempts=task.max_attempts if options.max_attempts is None else options.max_attempts,
            delay=options.seconds,
            at=options.at,
            headers=None if headers is None else encode_headers(headers, task=task.name),
            unique=None if options.unique is None else options.unique.of(task.name, lambda: task.key(args, kwargs)),
        )
