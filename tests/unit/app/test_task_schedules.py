"""`cron` and `every` at the decorator: what is wrong is refused where the task is declared, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock import App, ScheduleOptions, TaskSchedule, cron, every
from penstock.errors import InvalidArguments, InvalidSchedule, PayloadTooLarge, PenstockError
from penstock.schedules import Schedule

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)


def declared(schedule: Any, *, name: str = "shop:refresh") -> tuple[Schedule, ...]:
    """The schedules of a task with a parameter `region` that has a default."""
    app = App()

    @app.task(name=name, queue="reports", priority=2, max_attempts=7, schedule=schedule)
    def refresh(region: str = "eu") -> None: ...

    return app.schedules


def test_a_schedule_takes_queue_priority_and_attempts_of_its_task():
    """And its name, if none is given."""
    [one] = declared(cron("0 9 * * *", timezone="Europe/Berlin", args={"region": "us"}))
    given = {"cron": "0 9 * * *", "time_zone": "Europe/Berlin", "args": {"region": "us"}}
    of_task = {"task": "shop:refresh", "queue": "reports", "priority": 2, "max_attempts": 7}
    assert one == Schedule(name="shop.refresh", **given, **of_task)  # type: ignore[arg-type]


def test_every_option_reaches_the_schedule():
    """Of `ScheduleOptions`, whose keys are the fields that `cron` and `every` share."""
    given: dict[str, Any] = {
        "name": "eu",
        "args": {"region": "us"},
        "missed": "All",
        "missed_limit": 3,
        "overlap": "Queue",
        "jitter_seconds": 5,
        "lead_seconds": 6,
        "starts_at": NOW,
        "ends_at": NOW + timedelta(days=1),
        "suspend": True,
    }
    assert given.keys() == ScheduleOptions.__annotations__.keys()
    for made in (cron("@hourly", **given), every(timedelta(hours=1), **given)):
        [one] = declared(made)
        assert {name: getattr(one, name) for name in given} == given
    assert set(TaskSchedule.__slots__) == given.keys() | {"expression", "interval", "timezone"}


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("shop.jobs:refresh", "shop.jobs.refresh"),
        ("shop.jobs:Outer.<locals>.refresh", "shop.jobs.Outer.locals.refresh"),
        ("a" * 100, "a" * 63),
        ("é:è", "schedule"),
        ("x" + ":" * 3 + "-" * 62, "schedule"),
    ],
)
def test_the_name_of_a_task_becomes_one_of_a_schedule(task, name):
    """Other characters become dots, and the end is kept."""
    assert [one.name for one in declared(cron("@daily"), name=task)] == [name]


FAULTS: dict[str, tuple[Callable[[], Any], type[PenstockError], str]] = {
    "an unknown option": (
        lambda: cron("@daily", lead=30),  # type: ignore[call-arg]
        InvalidSchedule,
        "a schedule has no option 'lead'; it has args, ends_at, jitter_seconds, lead_seconds, missed, missed_limit,",
    ),
    "a zone of an interval": (
        lambda: every(timedelta(1), timezone="UTC"),  # type: ignore[call-arg]
        InvalidSchedule,
        "a schedule has no option 'timezone'",
    ),
    "text": (lambda: "@daily", InvalidSchedule, "task 'shop:refresh': schedule must be cron(...), every(...)"),
    "a list of text": (lambda: ["@daily"], InvalidSchedule, "schedule must be cron(...), every(...) or a list"),
    "a number": (lambda: 5, InvalidSchedule, "schedule must be cron(...), every(...) or a list of them"),
    "two of one name": (
        lambda: [cron("@daily"), cron("@hourly")],
        InvalidSchedule,
        "task 'shop:refresh': two schedules are named 'shop.refresh'; give each a name",
    ),
    "an expression that is None": (
        lambda: cron(None),  # type: ignore[arg-type]
        InvalidSchedule,
        "cron(...) takes an expression of five fields as text, got None",
    ),
    "an interval that is text": (
        lambda: every("5m"),  # type: ignore[arg-type]
        InvalidSchedule,
        "every(...) takes a timedelta, got '5m'",
    ),
    "an unknown zone": (
        lambda: cron("@daily", timezone="Mars/Olympus"),
        InvalidSchedule,
        "schedule 'shop.refresh': the time zone must be an IANA name such as Europe/Berlin, got 'Mars/Olympus'",
    ),
    "30 February": (
        lambda: cron("0 0 30 2 *"),
        InvalidSchedule,
        "schedule 'shop.refresh': no date ever matches the cron expression '0 0 30 2 *'",
    ),
    "a name with a blank": (lambda: cron("@daily", name="a b"), InvalidSchedule, "schedule 'a b': a name has 1 to 63"),
    "no name": (lambda: cron("@daily", name=""), InvalidSchedule, "schedule '': a name has 1 to 63"),
    "arguments that are a list": (
        lambda: cron("@daily", args=[]),  # type: ignore[arg-type]
        InvalidSchedule,
        "schedule 'shop.refresh': args must be a mapping of parameters, got []",
    ),
    "an argument too many": (lambda: cron("@daily", args={"zone": 1}), InvalidArguments, "shop:refresh"),
    "an argument of another type": (lambda: cron("@daily", args={"region": 5}), InvalidArguments, "region"),
    "arguments above 64 KiB": (
        lambda: cron("@daily", args={"region": "x" * 70_000}),
        InvalidSchedule,
        "the limit is 65536",
    ),
    "arguments above the limit of a job": (
        lambda: cron("@daily", args={"region": "x" * 300_000}),
        PayloadTooLarge,
        "the limit is 262144",
    ),
    "no tick between the dates": (
        lambda: cron("0 0 1 5 *", starts_at=NOW, ends_at=NOW + timedelta(days=1)),
        InvalidSchedule,
        "schedule 'shop.refresh': no tick of '0 0 1 5 *' comes between",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_at_the_decorator(fault):
    """Nothing is registered, and the message is one sentence with what was given."""
    made, error, sentence = FAULTS[fault]
    with pytest.raises(error) as raised:
        declared(made())
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_parameter_without_a_value_is_refused_at_the_decorator():
    """The tick would enqueue a job that no worker can run."""
    app = App()
    with pytest.raises(InvalidArguments, match="region"):

        @app.task(schedule=every(timedelta(minutes=5)))
        def refresh(region: str) -> None: ...

    assert not app.schedules


def test_a_name_of_another_tasks_schedule_is_refused():
    """In one queue; the next start of a worker would make it the other task's, and so on."""
    app = App()

    @app.task(schedule=cron("@daily", name="nightly"))
    def first() -> None: ...

    @app.task(queue="other", schedule=cron("@daily", name="nightly"))
    def elsewhere() -> None: ...

    with pytest.raises(InvalidSchedule, match=r"the schedule 'nightly' exists, of task '.*first'"):

        @app.task(schedule=cron("@daily", name="nightly"))
        def second() -> None: ...

    assert [one.queue for one in app.schedules] == ["default", "other"]
