"""Postponed outcomes: retried until answered, by worker, none dropped and none counted twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from penstock.errors import DatabaseUnavailable
from penstock.job import Finished
from penstock.runtime.claims.postponed_outcomes import NAMED, REMIND_SECONDS, Postponed
from tests.unit.runtime.support import completed, job

pytestmark = pytest.mark.looptime


class Bench:
    """Postponed outcomes over rows that others lock."""

    def __init__(self) -> None:
        self.locked: set[int] = set()
        self.errors: list[Exception] = []
        self.sent: list[tuple[int, list[int]]] = []
        self.stored: list[int] = []
        self.while_sending: Callable[[], None] | None = None
        self.postponed = Postponed(
            send=self.send,
            stored=self.stored.append,
            rng=random.Random(1),
            clock=asyncio.get_running_loop().time,
        )

    async def send(self, worker: int, batch: list[Finished]) -> list[Finished]:
        self.sent.append((worker, [one.job.id for one in batch]))
        if (add := self.while_sending) is not None:
            self.while_sending = None
            add()
        if self.errors:
            raise self.errors.pop(0)
        return [one for one in batch if one.job.id in self.locked]

    def add(self, count: int, worker: int = 1) -> list[int]:
        outcomes = [completed(job(worker=worker)) for _ in range(count)]
        self.postponed.add(outcomes)
        return [one.job.id for one in outcomes]

    async def until_empty(self) -> None:
        async with asyncio.timeout(600):
            while len(self.postponed):
                await asyncio.sleep(0.05)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    task = asyncio.get_running_loop().create_task(made.postponed.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_sent_while_nothing_is_postponed(bench, caplog):
    """An idle worker asks nothing, and adding nothing wakes nobody."""
    bench.postponed.add([])
    await asyncio.sleep(3600)
    assert (bench.sent, caplog.messages) == ([], [])


async def test_outcomes_are_sent_by_worker_and_leave_when_they_are_stored(bench):
    """A claim belongs to the registration that made it."""
    first, second = bench.add(2, worker=1), bench.add(1, worker=2)
    assert len(bench.postponed) == 3
    await bench.until_empty()
    assert bench.sent == [(1, first), (2, second)]
    assert bench.stored == [2, 1]


async def test_those_that_are_still_locked_stay_and_are_sent_again(bench):
    """Only they; the others were answered."""
    ids = bench.add(3)
    bench.locked = {ids[1]}
    await asyncio.sleep(1)
    assert len(bench.postponed) == 1
    bench.locked = set()
    await bench.until_empty()
    assert bench.sent[0] == (1, ids)
    assert set(map(tuple, (some for _, some in bench.sent[1:]))) == {(ids[1],)}
    assert sum(bench.stored) == 3


async def test_one_that_is_added_while_another_is_sent_is_not_lost(bench):
    """Outcomes of one job under several claims: each is known by its token."""
    (first,) = bench.add(1)
    newer = [completed(job(id=first, token=token)) for token in (8, 9)]
    bench.while_sending = lambda: bench.postponed.add(newer)
    await bench.until_empty()
    assert bench.sent == [(1, [first]), (1, [first, first])]
    assert sum(bench.stored) == 3


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), ValueError("a fault of ours")])
async def test_no_error_ends_the_retries(bench, caplog, error):
    """An error of the database is one line, any other has its traceback; nothing is forgotten."""
    bench.errors = [error]
    ids = bench.add(2)
    await bench.until_empty()
    assert bench.sent == [(1, ids), (1, ids)]
    (record,) = [one for one in caplog.records if one.message == "storing postponed outcomes failed, retrying"]
    assert bool(record.exc_info) is isinstance(error, ValueError)


async def test_retries_wait_longer_and_longer_and_quickly_again_after_all_were_stored(bench):
    """A row may be locked for hours; the next one is usually free at once."""
    loop = asyncio.get_running_loop()
    ids = bench.add(1)
    bench.locked = set(ids)
    await asyncio.sleep(600)
    assert 600 / 5 * 0.8 < len(bench.sent) < 600 / 2 * 1.2
    bench.locked = set()
    await bench.until_empty()
    started = loop.time()
    bench.add(1)
    await bench.until_empty()
    assert loop.time() - started < 0.3


async def test_a_line_names_the_first_jobs_and_comes_again_once_a_minute(bench, caplog):
    """Enough to find them, not a line for each retry."""
    ids = bench.add(NAMED + 2)
    bench.locked = set(ids)
    await asyncio.sleep(3 * REMIND_SECONDS + 30)
    lines = [one for one in caplog.records if one.message.startswith("outcomes not stored yet")]
    assert 3 <= len(lines) <= 4
    assert lines[0].__dict__["first_jobs"] == ",".join(map(str, ids[:NAMED]))
    assert lines[-1].__dict__["outcomes"] == NAMED + 2
