"""Jobs of an App without a database, as its tests see them: collected jobs and how each of them ended.

Owns the types of `App.test_mode()` and `App.run_inline()`. Must not depend on `penstock.testing`, which implements them
above this layer; `new_collector` finds the implementation by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..job import NewJob, OutcomeState
from .client import Client

if TYPE_CHECKING:
    from .connection_provider import ConnectionProvider
    from .task import Task, TaskRegistry

Lifespans = Sequence[Callable[[], Any]]
IMPLEMENTATION = "penstock.testing.inline:InlineCollector"
"""A name, because only tests need it: a worker never loads it, and this layer stands below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineRun:
    """The outcome of one job in `run_inline`.

    Attributes:
        state: COMPLETED, CANCELLED, FAILED (a dead letter in a real run) or SNOOZE (left among the collected).
        attempts: attempts that counted.
        result: what the task returned.
        stored: the same as JSON text, as a database would keep it.
        exception: what the last attempt raised, outcomes included.
        reason: of its outcome, as a worker would store it: `exhausted`, `non_retryable`, `unstorable_result`,
            `invalid_arguments`, or the reason that the task gave; None if it completed.
    """

    job_id: int
    task: str
    state: OutcomeState
    attempts: int
    result: object = None
    stored: str | None = None
    exception: BaseException | None = None
    reason: str | None = None


class Collected(Client, Protocol):
    """The jobs enqueued in a test, oldest first, and how those that ran have ended."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NewJob]: ...

    def __getitem__(self, index: int) -> NewJob: ...

    def arguments(self, task: Task[..., Any, ..., Any]) -> list[dict[str, object]]:
        """The decoded arguments of each collected job of one task, oldest first."""

    def assert_enqueued(
        self, expected: Task[..., Any, ..., Any] | NewJob, *, times: int | None = None, **options: object
    ) -> list[NewJob]:
        """Fail unless such a job was enqueued; the jobs that were, oldest first.

        Args:
            expected: `task.job(7)`: its arguments, and what its options say. A task: any of its jobs.
            times: exactly so many; default at least one.
            **options: attributes of `NewJob` that must be equal, as `queue="emails"`, `delay=60`.

        Raises:
            AssertionError: the message has the expected and the enqueued jobs.
        """

    def assert_not_enqueued(self, expected: Task[..., Any, ..., Any] | NewJob | None = None, **options: object) -> None:
        """Fail if such a job was enqueued; without an argument, if any was. Raises AssertionError."""


class Collector(Collected, Protocol):
    """Collected jobs that can be run in this process."""

    def run_sync(self, tasks: TaskRegistry, lifespans: Lifespans) -> list[InlineRun]:
        """Run in the caller's thread: plain functions outside any event loop, async ones in one opened for them.

        Raises:
            UnknownTask: a job names no task of the App.
            PenstockError: an event loop is running already, or more than 10,000 jobs.
        """

    async def run_async(
        self, tasks: TaskRegistry, lifespans: Lifespans, provider: ConnectionProvider | None = None
    ) -> list[InlineRun]:
        """Run in this event loop: async functions in it, plain ones in a thread, the one of the provider if there is
        one, because that has the connections of the caller. Raises as `run_sync`.
        """


def new_collector() -> Collector:
    """Create the collector of `App.test_mode()`."""
    module, _, name = IMPLEMENTATION.partition(":")
    collector: Collector = getattr(import_module(module), name)()
    return collector
