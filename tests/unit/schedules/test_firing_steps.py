"""How much one step of firing does: schedules, ticks and turns of the event loop, and what a failed one changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from penstock.cancellation import cancel_and_wait
from penstock.errors import DatabaseUnavailable, RowLocked, StatementTimeout, StoreError
from penstock.store.due_schedules import DUE_LIMIT, LOCKED_PAUSE, MAX_TICKS, DueRow, DueSchedules, TicksDue

NOW = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def due(number: int, missed: int) -> DueRow:
    """A schedule of each minute with that many ticks that nobody fired, all of which it keeps."""
    first = NOW.replace(second=0) - (missed - 1) * MINUTE
    return DueRow(number, "q", f"s{number}", "work", "* * * * *", "UTC", None, None, 0, "All", 1000, 1, first, NOW)


class Statements:
    """A database that answers immediately, so the event loop has a turn only where the code gives it one.

    Args:
        rows: what is due.
        after: seconds until the earliest tick of the others.
        maximum: ticks of a transaction that the server completes.
        error: of a larger one.
    """

    def __init__(
        self,
        rows: list[DueRow],
        *,
        after: float | None = None,
        maximum: int = 10**9,
        error: type[StoreError] = StoreError,
    ) -> None:
        self.rows, self.after, self.maximum, self.error = rows, after, maximum, error
        self.locked = False
        self.sizes = list[int]()
        """Ticks of each transaction, refused ones included."""

    async def due(self, limit: int) -> tuple[list[DueRow], float | None]:
        return self.rows[:limit], self.after

    async def fire(self, decisions: Sequence[TicksDue]) -> dict[int, int]:
        self.sizes.append(sum(len(one.ticks) for one in decisions))
        if self.sizes[-1] > self.maximum:
            raise self.error("refused")
        if self.locked:
            return {}
        fired = {one.id: len(one.ticks) for one in decisions}
        self.rows = [row for row in self.rows if row.id not in fired]
        return fired

    async def failed(self, row: DueRow, error: Exception) -> None:
        raise AssertionError((row.name, error))


async def test_a_step_has_no_more_ticks_than_one_schedule_may_have():
    """Each is a transaction with at most a thousand jobs, and says that more are due."""
    database = Statements([due(n, 400) for n in range(5)] + [due(9, 1000)], after=7.0)
    steps = DueSchedules(database)
    results = [await steps.fire() for _ in range(4)]
    assert database.sizes == [800, 800, 400, 1000]
    assert [one.next_due for one in results] == [0.0, 0.0, 0.0, 7.0]
    assert sum(one.jobs for one in results) == 3000


async def test_a_step_has_no_more_schedules_than_its_limit():
    """With one tick each."""
    database = Statements([due(n, 1) for n in range(DUE_LIMIT + 1)])
    steps = DueSchedules(database)
    assert [(await steps.fire()).schedules for _ in range(2)] == [DUE_LIMIT, 1]


async def test_the_event_loop_has_a_turn_after_each_schedule():
    """Between the ticks of two schedules another task runs, while no statement waits for the database."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other(), name="other")
    try:
        await DueSchedules(Statements([due(n, 5) for n in range(100)])).fire()
    finally:
        await cancel_and_wait([task])
    assert turns >= 100


@pytest.mark.parametrize("error", [DatabaseUnavailable, StatementTimeout])
async def test_what_the_server_does_not_complete_becomes_smaller(error):
    """A proxy that ends the connection at each large transaction does so a few times; then all ticks are fired."""
    database = Statements([due(n, 30) for n in range(40)], maximum=100, error=error)
    steps, failures = DueSchedules(database), 0
    for _ in range(60):
        try:
            await steps.fire()
        except DatabaseUnavailable:
            failures += 1
    assert database.rows == []
    assert sum(size for size in database.sizes if size <= database.maximum) == 40 * 30
    assert failures <= sum(size > database.maximum for size in database.sizes) < 30


async def test_a_step_grows_again_when_the_server_completes_it():
    """One failover does not make firing slow for good."""
    database = Statements([due(n, 100) for n in range(40)], maximum=0, error=DatabaseUnavailable)
    steps = DueSchedules(database)
    for _ in range(4):
        with pytest.raises(DatabaseUnavailable):
            await steps.fire()
    database.maximum = MAX_TICKS
    for _ in range(8):
        await steps.fire()
    assert database.sizes == [1000, 500, 200, 100, 100, 100, 200, 400, 800, 1000, 1000, 400]


async def test_a_lock_makes_no_step_smaller():
    """It says nothing about the size."""
    database = Statements([due(n, 100) for n in range(20)], maximum=0, error=RowLocked)
    steps = DueSchedules(database)
    for _ in range(3):
        with pytest.raises(RowLocked):
            await steps.fire()
    assert database.sizes == [1000] * 3


async def test_a_step_that_moves_nothing_is_repeated_after_a_second():
    """Others hold what is due; a tick of another schedule that comes sooner is not late."""
    database = Statements([due(1, 1)])
    database.locked = True
    steps = DueSchedules(database)
    assert (await steps.fire()).next_due == LOCKED_PAUSE
    database.after = 0.25
    assert (await steps.fire()).next_due == 0.25
    database.rows, database.after = [], -3600.0
    assert (await steps.fire()).next_due == LOCKED_PAUSE
