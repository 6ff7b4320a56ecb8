"""How due schedules are fired in batches: what the database refuses does not stop its neighbours, a lock stops all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from penstock.errors import DatabaseUnavailable, RowLocked, StoreError
from penstock.store.connections import Connections
from penstock.store.due_schedules import LOCKED_PAUSE, DueRow, TicksDue, ticks_due
from penstock.store.schedules import Schedules

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)


def due(id_: int, spec: str = "@every 3600") -> DueRow:
    return DueRow(id_, "q", f"s{id_}", "work", spec, "UTC", None, None, 0, "Once", 1, 1, NOW, NOW)


class Database(Schedules):
    """Answers in place of PostgreSQL: refuses the schedules of `refused`, passes over those of `locked`."""

    def __init__(self, rows: list[DueRow], refused: dict[int, Exception], locked: Sequence[int] = ()) -> None:
        super().__init__(Connections("postgresql://nowhere.invalid/none", name="test", lanes=1, pooled=False))
        self.rows, self.refused, self.locked = rows, refused, locked
        self.calls, self.fired, self.noted = 0, list[int](), list[int]()

    async def due(self, limit: int = 200) -> tuple[list[DueRow], float | None]:
        return self.rows[:limit], 30.0

    async def fire(self, decisions: Sequence[TicksDue]) -> dict[int, int]:
        self.calls += 1
        for one in decisions:
            if one.id in self.refused:
                raise self.refused[one.id]
        moved = [one.id for one in decisions if one.id not in self.locked]
        self.fired += moved
        return dict.fromkeys(moved, 1)

    async def failed(self, row: DueRow, error: Exception) -> None:
        self.noted.append(row.id)


async def test_a_refused_schedule_is_noted_and_each_of_its_neighbours_fires():
    """Found in halves: two of a hundred cost some calls more, not one for each schedule."""
    database = Database([due(n) for n in range(100)], {17: StoreError("too long"), 99: StoreError("too long")})
    result = await database.fire_due()
    assert (database.noted, sorted(database.fired)) == ([17, 99], [n for n in range(100) if n not in {17, 99}])
    assert (result.schedules, result.jobs, result.failed, result.next_due) == (98, 98, 2, 30.0)
    assert database.calls < 30


async def test_a_schedule_that_cannot_be_computed_is_noted_and_the_others_fire():
    """A later version wrote an expression that this one cannot read."""
    database = Database([due(1), due(2, "@fortnightly"), due(3)], {})
    result = await database.fire_due()
    assert (database.noted, database.fired, result.failed, result.next_due) == ([2], [1, 3], 1, 30.0)


@pytest.mark.parametrize("error", [RowLocked("a table is locked"), DatabaseUnavailable("no server")])
async def test_a_lock_or_a_lost_server_ends_the_call_and_blames_no_schedule(error):
    """Each half would wait as long again; the next call decides what this one did not."""
    database = Database([due(n) for n in range(100)], {17: error})
    with pytest.raises(type(error)):
        await database.fire_due()
    assert (database.calls, database.noted) == (1, [])


async def test_a_schedule_that_another_holds_is_asked_for_again_after_a_second():
    """It is due, and was not moved: the other may hold it for hours."""
    result = await Database([due(1), due(2)], {}, locked=[2]).fire_due()
    assert (result.schedules, result.next_due) == (1, LOCKED_PAUSE)


@pytest.mark.parametrize(("limit", "next_due"), [(3, 30.0), (2, 0.0)])
async def test_a_full_read_says_that_more_may_be_due(limit, next_due):
    """As many rows as asked for: nothing is known of the others."""
    result = await Database([due(1), due(2)], {}).fire_due(limit)
    assert (result.schedules, result.next_due) == (2, next_due)


@pytest.mark.parametrize(("missed", "limit", "count"), [("Once", 100, 1), ("Skip", 100, 1), ("All", 100, 100)])
def test_a_schedule_of_a_second_sends_after_a_week_only_the_ticks_that_count(missed, limit, count):
    """The last one, or as many as the policy All allows; the next one is after now."""
    row = due(1, "@every 1")._replace(missed=missed, missed_limit=limit, next_at=NOW - timedelta(days=7))
    decided = ticks_due(row)
    assert decided.ticks == [NOW - timedelta(seconds=n) for n in reversed(range(count))]
    assert (decided.seen, decided.next) == (row.next_at, NOW + timedelta(seconds=1))
