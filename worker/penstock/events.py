"""Events of a worker that an application can subscribe to, for its own telemetry and alerts.

    @app.on("job.stop")
    def count(event: JobStopped) -> None: ...

    job.start      JobStarted      an attempt starts, in a worker
    job.stop       JobStopped      it ended, with any outcome; after job.exception if there is one
    job.exception  JobErrored      it ended with an exception, a timeout or a crash
    job.dead       DeadLetterMade  a dead letter was committed; also `@app.on_dead_letter`
    queue.depth    QueueDepth      every fifteen seconds while a worker runs, if a hook is registered

Only values and the registry of hooks; `penstock.runtime` calls them. A hook that raises is logged once and changes no
job.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .job import ClaimedJob, OutcomeState

F = TypeVar("F", bound=Callable[[Any], Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """An attempt starts."""

    job: ClaimedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopped:
    """An attempt ended; its outcome is not committed yet. `duration` is the run time in seconds."""

    job: ClaimedJob
    outcome: OutcomeState
    reason: str | None
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobErrored:
    """An attempt ended with an error. `exception` is None if it was raised in another process.

    `error` is the entry of the attempt history: type, message, traceback and attempt. `final`: a dead letter follows.
    """

    job: ClaimedJob
    error: dict[str, Any]
    exception: BaseException | None
    duration: float
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterMade:
    """A dead letter was committed. `by_rescue`: its worker was lost, or the attempt exceeded its deadline."""

    id: int
    queue: str
    task: str
    reason: str
    attempt: int
    error: str | None
    message: str | None
    by_rescue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """The worker's queue now. Counts stop at 10,000; `oldest` is in seconds, None if no job is ready."""

    queue: str
    ready: int
    deferred: int
    in_flight: int
    dead: int
    oldest: float | None


EVENTS: Final = ("job.start", "job.stop", "job.exception", "job.dead", "queue.depth")


class Hooks:
    """Functions by event, in the order in which they were registered."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Callable[[Any], Any]]] = {event: [] for event in EVENTS}

    def add(self, event: str, function: F) -> F:
        """Register `function` for an event; it is called with the event's value.

        Args:
            event: one of EVENTS.
            function: async or sync, with one parameter. A sync one for `job.start`, `job.stop` and `job.exception`
                runs on the event loop and must not block; for the others it runs in a thread.

        Raises:
            ConfigurationError: there is no such event, or `function` is not a function.
        """
        if event not in self._functions:
            raise ConfigurationError(f"app.on: event must be one of {', '.join(EVENTS)}, got {event!r}")
        given: object = function  # of any type: not every decorated object has been type-checked
        if not callable(given) or inspect.isclass(given):
            raise ConfigurationError(f"app.on({event!r}): must decorate a function, got {function!r}")
        self._functions[event].append(function)
        return function

    def functions(self, event: str) -> tuple[Callable[[Any], Any], ...]:
        """The functions registered for an event."""
        return tuple(self._functions[event])
