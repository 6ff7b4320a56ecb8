"""What an application may listen to, and the registry of who listens. For users' own telemetry and alerts.

    @app.on("job.stop")
    def count(event: JobStopped) -> None: ...

    job.start    JobStarted    an attempt begins, in a worker
    job.stop     JobStopped    it ended, whatever the end; behind job.exception where there is one
    job.exception  JobFailed   it ended in an exception, a timeout or a crash
    job.dead     DeadLetterMade   a dead letter was committed; also `@app.on_dead_letter`
    queue.depth  QueueDepth    every fifteen seconds, while a worker runs and somebody listens

Values only: who calls and when is `penstock.runtime.announce`. A function that raises is logged once and harms nothing.
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
    """An attempt begins."""

    job: ClaimedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopped:
    """An attempt ended; its outcome is on the way to the database. `duration` in seconds of run time."""

    job: ClaimedJob
    outcome: OutcomeState
    reason: str | None
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """An attempt ended in an error. `exception` is None where it was raised in another process.

    `error` is what the attempt history keeps: type, message, traceback and attempt. `final`: a dead letter follows.
    """

    job: ClaimedJob
    error: dict[str, Any]
    exception: BaseException | None
    duration: float
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterMade:
    """A dead letter is in the database. `by_rescue`: the worker that had it was lost, or it ran past its deadline."""

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
    """The worker's queue as it is now. Counts stop at 10,000; `oldest` is seconds, None where nothing is ready."""

    queue: str
    ready: int
    deferred: int
    in_flight: int
    dead: int
    oldest: float | None


EVENTS: Final = ("job.start", "job.stop", "job.exception", "job.dead", "queue.depth")


class Hooks:
    """Functions by event, in the order in which they were added."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Callable[[Any], Any]]] = {event: [] for event in EVENTS}

    def add(self, event: str, function: F) -> F:
        """Have `function` called with the event's value.

        Args:
            event: one of EVENTS.
            function: async or plain, with one parameter. A plain one for `job.start`, `job.stop` and `job.exception`
                runs on the event loop and must not block; for the others it runs in a thread.

        Raises:
            ConfigurationError: there is no such event, or it is no function.
        """
        if event not in self._functions:
            raise ConfigurationError(f"app.on: event must be one of {', '.join(EVENTS)}, got {event!r}")
        given: object = function  # of any type: what stands behind a decorator is not checked by a type checker alone
        if not callable(given) or inspect.isclass(given):
            raise ConfigurationError(f"app.on({event!r}) takes a function, got {function!r}")
        self._functions[event].append(function)
        return function

    def functions(self, event: str) -> tuple[Callable[[Any], Any], ...]:
        """Who listens."""
        return tuple(self._functions[event])
