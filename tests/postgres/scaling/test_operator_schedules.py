"""What the operator's process of a database does with the schedules of a JobQueue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from penstock.schedules import parse
from penstock.store import QueueState, Store, WorkerRegistry
from penstock.task_digests import task_digests
from penstock_operator.database.process.schedules import MAX_DIGESTS, MAX_SCHEDULES, MAX_VERSIONS, ScheduleService
from penstock_operator.resources.queue_schedules import MAX_SHOWN, SHOWN_TICKS
from tests.support.postgres import Database

NIGHTLY: dict[str, Any] = {"name": "nightly", "task": "work", "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin"}


def entry(**changes: Any) -> dict[str, Any]:
    return NIGHTLY | changes


async def test_valid_entries_are_declared_and_each_refused_one_has_its_reason(pg: Database):
    """One wrong entry does not stop the others; the sentence names the schedule and what was given."""
    wrong = {
        "mars": entry(timeZone="Mars/Olympus"),
        "february": entry(cron="0 0 30 2 *"),
        "minute": entry(cron="60 * * * *"),
        "large": entry(args={"text": "x" * 70_000}),
        "nul": entry(args={"text": "\0"}),
        "task": entry(task="a\u00a0b"),
        "late": entry(endDate="9999-01-01T00:00:00Z"),
        "never": entry(startDate="2027-01-02T00:00:00Z", endDate="2027-01-03T00:00:00Z"),
        "often": entry(cron="*/90 * * * *"),
    }
    async with Store(pg.url) as store:
        entries = [entry(), *({**one, "name": name} for name, one in wrong.items())]
        made = await ScheduleService().declare(store, "emails", entries)
    assert made.declared == ["nightly"]
    assert {name: reason for name, reason, _ in made.refused} == {
        "mars": "UnknownTimeZone",
        "february": "InvalidExpression",
        "minute": "InvalidExpression",
        "large": "InvalidArguments",
        "nul": "InvalidArguments",
        "task": "InvalidSchedule",
        "late": "InvalidSchedule",
        "never": "InvalidSchedule",
        "often": "InvalidExpression",
    }
    for name, _, sentence in made.refused:
        assert name in sentence
        assert len(sentence) <= 1000


async def test_listed_schedules_have_their_recurrence_and_their_next_five_ticks(pg: Database):
    """In plain language and in local time; the clock is the database's."""
    service = ScheduleService()
    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry(leadSeconds=30)])
        found = await service.list(store, ["emails", "other"])
        assert await service.list(store, ["emails"]) != await service.list(store, ["other"])
    [one] = found.schedules
    schedule = one.schedule
    assert (one.queue, schedule.name, schedule.in_code, schedule.lead_seconds) == ("emails", "nightly", False, 30)
    assert schedule.recurrence == "at 09:00 on weekdays, Europe/Berlin"
    assert schedule.local_time == "09:00 Europe/Berlin"
    assert schedule.next_at == schedule.upcoming[0]
    assert len(schedule.upcoming) == SHOWN_TICKS
    assert all(datetime.fromtimestamp(at, UTC).weekday() < 5 for at in schedule.upcoming)
    assert schedule.next_at is not None
    assert found.now < schedule.next_at


async def test_upcoming_ticks_are_shown_of_the_ten_that_tick_next(pg: Database):
    """Their number, and what they cost to compute, do not grow with the schedules."""
    service = ScheduleService()
    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry(name=f"s{n:02}", cron=f"{n} 9 * * *") for n in range(40)])
        found = await service.list(store, ["emails"])
    shown = [one.schedule.name for one in found.schedules if one.schedule.upcoming]
    assert len(found.schedules) == 40 < MAX_SCHEDULES
    assert len(shown) == MAX_SHOWN
    earliest = sorted(found.schedules, key=lambda one: one.schedule.next_at or 0.0)[:MAX_SHOWN]
    assert {one.schedule.name for one in earliest} == set(shown)


@pytest.mark.parametrize(("overlap", "follows"), [("Allow", False), ("Skip", True), ("Queue", True)])
async def test_a_live_job_of_the_last_tick_matters_where_ticks_must_not_overlap(
    pg: Database, db: psycopg.Connection[Any], overlap, follows
):
    """The next tick then needs no slot of its own."""
    service = ScheduleService()
    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry(cron=None, everySeconds=3600, overlap=overlap)])
        assert [one.schedule.follows_previous for one in (await service.list(store, ["emails"])).schedules] == [False]
        db.execute("UPDATE penstock.schedule SET next_at = next_at - interval '1 hour'")
        assert (await store.schedules.fire_due()).jobs == 1
        assert [one.schedule.follows_previous for one in (await service.list(store, ["emails"])).schedules] == [follows]


async def test_a_task_that_no_worker_has_is_marked_once_workers_have_registered(pg: Database):
    """One worker with the task is enough, one that publishes none may have it, and a queue at zero is not forgotten."""
    service, registry = ScheduleService(), WorkerRegistry(pg.url)

    def register(pod: str, info: dict[str, object]) -> int:
        values = {"queue": "emails", "identity": pod, "version": "0", "concurrency": 5, "lease": 60.0}
        return registry.register(**values, pod=pod, info=info).worker  # type: ignore[arg-type]

    async def unknown(store: Store) -> list[str]:
        service.sampled({state.name: state for state in await store.queues.snapshot(queues=["emails"], soon=1.0)})
        found = await service.list(store, ["emails"])
        return [one.schedule.name for one in found.schedules if one.schedule.unknown_task]

    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry(), entry(name="other", task="other")])
        assert await unknown(store) == []
        register("old", {"tasks": task_digests(["mail"])})
        assert await unknown(store) == ["nightly", "other"]
        new = register("new", {"tasks": task_digests(["mail", "work"])})
        assert await unknown(store) == ["other"]
        with pg.connect() as connection:
            connection.execute("UPDATE penstock.worker SET state = 'lost'")
        assert await unknown(store) == ["other"]
        with pg.connect() as connection:
            connection.execute("UPDATE penstock.worker SET state = 'running' WHERE id = %s", [new])
        register("older", {})
        assert await unknown(store) == []
    registry.close()


def with_workers(*digests: str | None, first: int = 1) -> dict[str, QueueState]:
    """A sample of the queue `emails` whose workers, with ids from `first` on, publish these digests."""
    workers = [{"id": n, "info": {} if one is None else {"tasks": one}} for n, one in enumerate(digests, first)]
    return {"emails": QueueState(1, "emails", False, True, 0, False, 0, 0, 0, 0, None, workers)}


async def unknown_tasks(service: ScheduleService, store: Store) -> list[str]:
    found = await service.list(store, ["emails"])
    return [one.schedule.name for one in found.schedules if one.schedule.unknown_task]


async def test_over_a_bound_no_task_is_called_unknown(pg: Database):
    """Of more sets of tasks or digests than are read, those that are not read may have it."""
    service = ScheduleService()
    sets = [str(task_digests([f"mail{n}"])) for n in range(MAX_VERSIONS + 1)]
    text = "".join(str(task_digests([f"mail{n}"])) for n in range(MAX_DIGESTS // 4 + 1))
    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry()])
        service.sampled(with_workers(*sets[:MAX_VERSIONS]))
        assert await unknown_tasks(service, store) == ["nightly"]
        service.sampled(with_workers(*sets))
        assert await unknown_tasks(service, store) == []
        service.sampled(with_workers(text[:MAX_DIGESTS]))
        assert await unknown_tasks(service, store) == ["nightly"]
        service.sampled(with_workers(text))
        assert await unknown_tasks(service, store) == []


async def test_what_earlier_workers_had_is_forgotten_once_the_queue_is_declared_again(pg: Database):
    """At zero the next image may have the task; those that run are still read, and new ones are remembered again."""
    service, mail = ScheduleService(), task_digests(["mail"])
    async with Store(pg.url) as store:
        await service.declare(store, "emails", [entry()])
        service.sampled(with_workers(mail))
        service.sampled(with_workers())
        assert await unknown_tasks(service, store) == ["nightly"]
        service.redeclared("emails")
        assert await unknown_tasks(service, store) == []
        service.sampled(with_workers())
        assert await unknown_tasks(service, store) == []
        service.sampled(with_workers(mail, first=2))
        service.redeclared("emails")
        service.sampled(with_workers(mail, first=2))
        assert await unknown_tasks(service, store) == ["nightly"], "the earlier worker runs: a rollout"
        service.sampled(with_workers())
        assert await unknown_tasks(service, store) == [], "it has gone"
        service.sampled(with_workers(mail, first=3))
        service.sampled(with_workers())
        assert await unknown_tasks(service, store) == ["nightly"], "this one started with the new declaration"


async def test_an_entry_in_code_as_well_is_the_jobqueues_and_withdrawing_touches_none_of_code(pg: Database):
    """Both are known by one name."""
    service = ScheduleService()
    async with Store(pg.url) as store:
        from_code = [parse(entry(name=name), queue="emails") for name in ("nightly", "weekly")]
        await store.schedules.declare("emails", "code", from_code)
        made = await service.declare(store, "emails", [entry()])
        assert (made.declared, made.overriding) == (["nightly"], ["nightly"])
        await service.declare(store, "emails", [])
        left = {row.name: row.source for row in await store.schedules.list(["emails"])}
    assert left == {"weekly": "code"}
