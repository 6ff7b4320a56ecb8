"""When the schedules of a JobQueue are declared, listed and withdrawn, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from penstock.errors import DatabaseUnavailable, RowLocked
from penstock_operator.database.process.schedules import DeclaredSchedules, ListedSchedule, ScheduleList
from penstock_operator.loops.schedule_sync import REFRESH_SECONDS, RETRY_SECONDS, ScheduleSync
from penstock_operator.metrics import OperatorMetrics
from penstock_operator.resources.queue_schedules import QueueSchedule, ScheduleFigures
from penstock_operator.resources.resource import JobQueue
from tests.unit.operator_parts.objects import jobqueue

NIGHTLY: dict[str, Any] = {"name": "nightly", "task": "report", "cron": "0 9 * * *"}


def listed(name: str, *, in_code: bool = False, next_at: float | None = 2000.0, generation: int = 3) -> ListedSchedule:
    """A schedule of the queue `emails`."""
    texts = "at 09:00, UTC", "09:00 UTC"
    schedule = QueueSchedule(name, in_code, *texts, next_at, [], 0, False, False, None, generation=generation)
    return ListedSchedule("emails", schedule, ScheduleFigures(0, None, None))


class Rows:
    """A database that keeps what is declared; its clock is a thousand seconds ahead of the operator's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.standing: dict[str, ListedSchedule] = {}
        self.calls: list[str] = []
        self.fails: Exception | None = None

    async def schedules(self, queues: Sequence[str]) -> ScheduleList:
        self.calls.append("list")
        return ScheduleList(self.now + 1000.0, [one for one in self.standing.values() if one.queue in queues])

    async def declare_schedules(self, queue: str, entries: Sequence[Mapping[str, Any]]) -> DeclaredSchedules:
        self.calls.append(f"declare {', '.join(str(one['name']) for one in entries)}".strip())
        if self.fails is not None:
            raise self.fails
        refused = [(one["name"], "UnknownTimeZone", "no such zone") for one in entries if one["timeZone"] == "Mars/X"]
        names = [one["name"] for one in entries if one["timeZone"] != "Mars/X"]
        overriding = [name for name in names if name in self.standing and self.standing[name].schedule.in_code]
        code = {name: one for name, one in self.standing.items() if one.schedule.in_code and name not in names}
        self.standing = code | {name: listed(name) for name in names}
        return DeclaredSchedules(names, refused, overriding)


def of(rows: Rows) -> ScheduleSync:
    """A new operator."""
    return ScheduleSync(OperatorMetrics(), clock=lambda: rows.now)


def queue(*schedules: dict[str, Any], generation: int = 1) -> JobQueue:
    """A JobQueue `emails`."""
    return jobqueue(metadata={"generation": generation}, schedules=list(schedules))


async def synced(sync: ScheduleSync, rows: Rows, *queues: JobQueue) -> list[str]:
    """The calls of one round, two seconds later."""
    rows.now += REFRESH_SECONDS
    rows.calls.clear()
    await sync.sync(rows, queues)  # type: ignore[arg-type]
    return list(rows.calls)


async def test_schedules_are_declared_once_and_at_each_edit():
    """And withdrawn by an edit that removes them."""
    rows = Rows()
    sync = of(rows)
    assert await synced(sync, rows, queue(NIGHTLY)) == ["list", "declare nightly", "list"]
    assert await synced(sync, rows, queue(NIGHTLY)) == ["list"]
    hourly = {**NIGHTLY, "name": "hourly"}
    assert "declare nightly, hourly" in await synced(sync, rows, queue(NIGHTLY, hourly, generation=2))
    assert "declare" in await synced(sync, rows, queue(generation=3))
    assert rows.standing == {}


async def test_a_queue_without_schedules_costs_no_write():
    """Five hundred of them are one list."""
    rows = Rows()
    assert await synced(of(rows), rows, queue()) == ["list"]


async def test_what_somebody_else_removed_is_declared_again():
    """A backup was restored, or somebody removed it."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    rows.standing.clear()
    assert "declare nightly" in await synced(sync, rows, queue(NIGHTLY))


async def test_what_somebody_else_changed_is_declared_again_once():
    """The names are the same; a pause, a tick and a schedule of code change no generation of these."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    rows.standing["nightly"] = listed("nightly", next_at=9000.0, generation=2)
    assert await synced(sync, rows, queue(NIGHTLY)) == ["list", "declare nightly", "list"]
    rows.standing["nightly"] = listed("nightly", next_at=9500.0)
    rows.standing["weekly"] = listed("weekly", in_code=True, generation=7)
    assert await synced(sync, rows, queue(NIGHTLY)) == ["list"]


async def test_a_list_is_not_repeated_within_two_seconds_unless_a_tick_has_passed():
    """At a tick the next one has to be known."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    rows.calls.clear()
    await sync.sync(rows, [queue(NIGHTLY)])  # type: ignore[arg-type]
    assert rows.calls == []
    rows.standing["nightly"] = listed("nightly", next_at=rows.now + 1000.0 + 2.5)
    await synced(sync, rows, queue(NIGHTLY))
    rows.now += 0.5
    rows.calls.clear()
    await sync.sync(rows, [queue(NIGHTLY)])  # type: ignore[arg-type]
    assert rows.calls == ["list"]


async def test_ticks_are_on_the_operators_clock():
    """Which may be wrong by any amount: a thousand seconds here."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    found = sync.of(queue(NIGHTLY))
    assert found is not None
    assert [tick.at for tick in found.ticks()] == [pytest.approx(1000.0)]


async def test_a_refused_entry_is_a_problem_and_the_others_are_declared():
    """It is not declared again and again."""
    rows = Rows()
    sync = of(rows)
    given = queue(NIGHTLY, {**NIGHTLY, "name": "mars", "timeZone": "Mars/X"})
    await synced(sync, rows, given)
    found = sync.of(given)
    assert found is not None
    assert found.verdict() == ("False", "UnknownTimeZone", "no such zone")
    assert [one.name for one in found.schedules] == ["nightly"]
    assert await synced(sync, rows, given) == ["list"]


async def test_a_name_in_code_as_well_is_reported():
    """The JobQueue's declaration wins."""
    rows = Rows()
    rows.standing["nightly"] = listed("nightly", in_code=True)
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    found = sync.of(queue(NIGHTLY))
    assert found is not None
    assert found.verdict()[1] == "DeclaredInCode"


async def test_a_locked_row_is_retried_and_stops_nothing_else():
    """The sample of the database goes on."""
    rows = Rows()
    sync = of(rows)
    rows.fails = RowLocked("somebody has it")
    assert "declare nightly" in await synced(sync, rows, queue(NIGHTLY))
    found = sync.of(queue(NIGHTLY))
    assert found is not None
    assert found.verdict()[:2] == ("False", "NotDeclared")
    rows.fails = None
    assert "declare nightly" not in await synced(sync, rows, queue(NIGHTLY))
    rows.now += RETRY_SECONDS
    assert "declare nightly" in await synced(sync, rows, queue(NIGHTLY))
    rows.fails = DatabaseUnavailable("gone")
    with pytest.raises(DatabaseUnavailable):
        await synced(sync, rows, queue(NIGHTLY, generation=2))


async def test_a_deleted_jobqueue_withdraws_its_schedules_once_and_not_those_of_its_successor():
    """Nothing is withdrawn of a JobQueue that exists, of a queue without schedules, or of one that has a new owner."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    rows.calls.clear()
    await sync.withdraw(rows, lambda _: False, [])  # type: ignore[arg-type]
    assert rows.calls == []
    rows.fails = DatabaseUnavailable("gone")
    with pytest.raises(DatabaseUnavailable):
        await sync.withdraw(rows, lambda _: True, [])  # type: ignore[arg-type]
    rows.fails = None
    rows.calls.clear()
    for _ in range(2):
        await sync.withdraw(rows, lambda _: True, [])  # type: ignore[arg-type]
    assert rows.calls == ["declare"]
    await synced(sync, rows, queue(NIGHTLY))
    rows.calls.clear()
    await sync.withdraw(rows, lambda _: True, ["emails"])  # type: ignore[arg-type]
    assert rows.calls == []


async def test_after_a_lost_connection_nothing_is_known_of_ticks():
    """Another server may answer next; what was declared is still withdrawn when its JobQueue goes."""
    rows = Rows()
    sync = of(rows)
    await synced(sync, rows, queue(NIGHTLY))
    sync.disconnected()
    assert sync.of(queue(NIGHTLY)) is None
    rows.calls.clear()
    await sync.withdraw(rows, lambda _: True, [])  # type: ignore[arg-type]
    assert rows.calls == ["declare"]
