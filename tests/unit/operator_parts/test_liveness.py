"""The process says that it is no longer alive when it can no longer do its work, and not because a server is mute."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock_operator.liveness import STUCK_SECONDS, Liveness
from tests.support.waiting import eventually


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Two threads."""
    with ThreadPoolExecutor(2) as made:
        yield made


def test_a_pool_whose_threads_never_come_free_is_reported_until_one_does(pool: ThreadPoolExecutor):
    """However often it is asked."""
    clock, gate = Clock(), threading.Event()
    liveness = Liveness({"API threads": pool}, clock=clock)
    try:
        for _ in range(2):
            pool.submit(gate.wait, 60)
        for _ in range(5):
            liveness.beat()
            clock.now += STUCK_SECONDS / 4
        liveness.beat()
        assert "API threads" in str(liveness.problem())
    finally:
        gate.set()
    eventually(lambda: liveness.problem() is None, "a thread has come free")


def test_an_event_loop_that_stands_still_is_reported():
    """Nobody beats any more."""
    clock = Clock()
    liveness = Liveness({}, clock=clock)
    liveness.beat()
    assert liveness.problem() is None
    clock.now += STUCK_SECONDS + 1
    assert "event loop" in str(liveness.problem())


async def test_beats_measure_how_late_the_event_loop_is(pool: ThreadPoolExecutor):
    """For the metric."""
    seen: list[float] = []
    done = asyncio.Event()

    def late(seconds: float) -> None:
        seen.append(seconds)
        done.set()

    task = asyncio.create_task(Liveness({"API threads": pool}, late=late).run())
    async with asyncio.timeout(30):
        await done.wait()
    task.cancel()
    assert seen[0] >= 0.0
