"""Pools of real child processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

import pytest

from penstock.runtime.execution.processes import protocol
from penstock.runtime.execution.processes.pool import ProcessPool
from penstock.runtime.execution.processes.stats import EXIT_REASONS


@pytest.fixture
async def pool() -> AsyncIterator[Callable[..., ProcessPool]]:
    """Makes pools; each must have started and ended as many children as it says."""
    made: list[ProcessPool] = []

    def make(
        app: str = "tests.unit.runtime.execution.processes.child_app:app", max_jobs: int = 0, max_bytes: int = 0
    ) -> ProcessPool:
        hello = protocol.Hello(
            app=app,
            parent=os.getpid(),
            database_url="",
            pooled=False,
            log_level="info",
            strategy="constant",
            base_seconds=1.0,
            max_seconds=1.0,
        )
        made.append(ProcessPool(hello=hello, max_jobs=max_jobs, max_bytes=max_bytes))
        return made[-1]

    yield make
    for one in made:
        await one.close(5.0)
        assert one.count == 0
        stats = one.stats
        assert (stats.alive, stats.started) == (0, stats.exits.total())
        assert set(stats.exits) == set(EXIT_REASONS)
