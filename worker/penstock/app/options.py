"""The options of a job, and their rules. Pure; `Enqueuer` in `task` uses them.

An option that is None counts as not given: the value then comes from the task, or from the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError, TaskError, shown
from ..job import NewJob
from ..outcomes import checked_seconds
from ..settings import check_queue_name
from .unique import Unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

MAX_PRIORITY: Final = 3
MAX_ATTEMPTS: Final = 1000
DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Checked options of one enqueue; None if not given. `Task.options` describes each."""

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
                object.__setattr__(self, "delay", checked_seconds(self.delay, of="options"))
            except (TypeError, ValueError) as error:
                raise ConfigurationError(str(error)) from error
        if self.delay is not None and self.at is not None:
            raise ConfigurationError("options: give delay or at, not both")
        if self.at is not None and getattr(self.at, "tzinfo", None) is None:
            raise ConfigurationError(f"options: at must be a datetime with a time zone, got {shown(self.at)}")
        check_whole(self.priority, of="options: priority", low=0, high=MAX_PRIORITY)
        check_whole(self.max_attempts, of="options: max_attempts", low=1, high=MAX_ATTEMPTS)
        check_wake(self.wake)
        if self.queue is not None:
            check_queue_name(self.queue, of="options: queue")

    def call(self) -> dict[str, Any]:
        """Keyword arguments for the client's `enqueue`."""
        return {"connection": self.connection} if self.wake else {"connection": self.connection, "wake": False}

    @property
    def seconds(self) -> float | None:
        """The delay in seconds."""
        return self.delay.total_seconds() if isinstance(self.delay, timedelta) else self.delay


def checked_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    """The jobs of `enqueue_many`.

    Raises:
        TaskError: one of them is not a NewJob.
    """
    new = list(jobs)
    for job in new:
        if not isinstance(job, NewJob):
            raise TaskError(f"enqueue_many takes jobs made by task.job(...), got {shown(job)}")
    return new


def check_wake(value: object) -> bool:
    """Check that the option is a boolean.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"options: wake must be True or False, got {shown(value)}")
    return value


def check_whole(value: object, *, of: str, low: int, high: int) -> None:
    """Check that the value is None or a whole number within bounds.

    Raises:
        ConfigurationError: it is not; the message names `of`, the bounds and the value.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
        return
    raise ConfigurationError(f"{of} must be a whole number from {low} to {high}, got {shown(value)}")
