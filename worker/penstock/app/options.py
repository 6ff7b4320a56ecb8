"""The options of one enqueue, checked. Pure; `Enqueuer` of `task` uses them.

An option that is None is an option not given; what is not given comes from the task, then from the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError, TaskError, shown
from ..job import NewJob
from ..outcomes import seconds
from ..settings import check_queue_name
from .unique import Unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

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
