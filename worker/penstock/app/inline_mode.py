"""What an App does in its application's tests: it collects jobs instead of enqueueing them, and runs them in place.

Must not import `penstock.testing`, which has the collector (`collected`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .collected import new_collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from ..job import NewJob
    from .client import Client
    from .collected import Collected, Collector, InlineRun
    from .connection_provider import ConnectionProvider
    from .task import TaskRegistry


class InlineMode:
    """The part of `App` that needs no database; App sets the attributes."""

    tasks: TaskRegistry
    client: Client
    connection_provider: ConnectionProvider | None
    _lifespans: list[Callable[[], AbstractAsyncContextManager[None]]]
    _collector: Collector | None = None

    @contextmanager
    def test_mode(self) -> Iterator[Collected]:
        """Collect enqueued jobs in memory instead of the database, in any thread, inside the `with` block."""
        with self._collecting() as collector:
            yield collector

    def run_inline(self, *jobs: NewJob) -> list[InlineRun]:
        """Run these jobs without a database, or those that `test_mode` collected, and all jobs that they enqueue.

        Retries run at once, and timeouts are not applied.

        Raises:
            ConfigurationError: no jobs are given outside `test_mode`.
            UnknownTask: a job names no task of the App.
            PenstockError: an event loop is running already, or more than 10,000 jobs.
        """
        with self._collector_of(jobs) as collector:
            return collector.run_sync(self.tasks, self._lifespans)

    async def run_inline_async(self, *jobs: NewJob) -> list[InlineRun]:
        """`run_inline` in a running event loop; plain functions run in a thread."""
        with self._collector_of(jobs) as collector:
            return await collector.run_async(self.tasks, self._lifespans, self.connection_provider)

    @contextmanager
    def _collecting(self) -> Iterator[Collector]:
        before = self.client, self._collector
        self.client = self._collector = collector = new_collector()
        try:
            yield collector
        finally:
            self.client, self._collector = before

    @contextmanager
    def _collector_of(self, jobs: tuple[NewJob, ...]) -> Iterator[Collector]:
        if not jobs and self._collector is not None:
            yield self._collector
        elif jobs:
            with self._collecting() as collector:
                collector.enqueue(jobs)
                yield collector
        else:
            raise ConfigurationError("run_inline needs jobs, or must be called inside app.test_mode()")
