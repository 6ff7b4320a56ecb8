"""A blocked event loop is one line of the log, while it is blocked, with who blocks it and where."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from penstock.job import ClaimedJob
from penstock.runtime.observe.loop_watchdog import LoopWatchdog
from tests.unit.runtime.support import job, until


class Said(logging.Handler):
    """The lines, and an event for the first: a thread says them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.first = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.first.set()


@pytest.fixture
def said():
    handler = Said()
    logger = logging.getLogger("penstock.loop")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def careless(free: threading.Event) -> None:
    """What a task calls that blocks."""
    assert free.wait(60)


async def watched(act: Callable[[], object], job_of: Callable[[object], ClaimedJob | None], said: Said) -> None:
    """Do something on a loop that is watched and ticks no more."""
    ticked = time.monotonic()
    watch = LoopWatchdog(ticked=lambda: ticked, job_of=job_of, seconds=0.1)
    watch.start()
    try:
        act()
        await until(lambda: said.records)
    finally:
        watch.close()


async def test_a_task_that_blocks_the_loop_is_named_with_its_stack(said):
    """The job's task, its id for machines, and the innermost call first; once, however long it lasts."""
    one = job(id=7, task="mailer:send")
    mine = asyncio.current_task()
    await watched(lambda: careless(said.first), lambda task: one if task is mine else None, said)
    (record,) = said.records
    fields = vars(record)
    assert (fields["job"], fields["blocked_by"]) == (7, "task mailer:send")
    assert "careless (" in fields["stack"]
    assert "test_loop_watchdog.py" in fields["stack"]
    assert "\n" not in fields["stack"]


async def test_what_is_no_attempt_is_named_by_its_asyncio_task(said):
    """A task that an attempt has started, or one of a lifespan."""

    async def below() -> None:
        await watched(lambda: careless(said.first), lambda _: None, said)

    await asyncio.create_task(below(), name="warm the cache")
    assert vars(said.records[0])["blocked_by"] == "task warm the cache"


async def test_a_callback_that_blocks_is_distinguished_from_a_task(said):
    """It has a stack and no name."""
    ticked = time.monotonic()
    watch = LoopWatchdog(ticked=lambda: ticked, job_of=lambda _: None, seconds=0.1)
    watch.start()
    try:
        asyncio.get_running_loop().call_soon(careless, said.first)
        await until(lambda: said.records)
    finally:
        watch.close()
    fields = vars(said.records[0])
    assert fields["blocked_by"] == "a callback"
    assert "careless (" in fields["stack"]


async def test_a_loop_that_ticks_is_not_mentioned(said):
    """However often it is checked."""
    samples: list[float] = []

    def ticked() -> float:
        samples.append(time.monotonic())
        return samples[-1]

    watch = LoopWatchdog(ticked=ticked, job_of=lambda _: None, seconds=0.01)
    watch.start()
    await until(lambda: len(samples) > 5)
    watch.close()
    assert said.records == []
