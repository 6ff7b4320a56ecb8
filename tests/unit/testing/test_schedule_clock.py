"""`ScheduleClock` as the tests of an application use it: ticks on a virtual clock, jobs that run in the test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from penstock import App, ScheduleOptions, cron, every
from penstock.errors import ConfigurationError
from penstock.testing import ScheduleClock

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 3, 27, 7, tzinfo=UTC)


def test_each_tick_fires_once_in_order_and_its_job_runs():
    """A minute-by-minute walk fires what one step of an hour does; two ticks at one time are ordered by name."""
    app, refreshed = App(), list[str]()

    @app.task(
        schedule=[
            every(timedelta(minutes=20), name="us", args={"region": "us"}),
            cron("*/30 * * * *", name="eu", args={"region": "eu"}),
        ]
    )
    def refresh(region: str) -> None:
        refreshed.append(region)

    with app.test_mode() as jobs:
        at_once = ScheduleClock(app, FRIDAY).advance(timedelta(hours=1))
        clock = ScheduleClock(app, FRIDAY)
        by_minutes = [tick for _ in range(60) for tick in clock.advance(timedelta(minutes=1))]
        assert [tick[:2] for tick in by_minutes] == [tick[:2] for tick in at_once]
        names = [(tick.schedule, tick.at.minute) for tick in at_once]
        assert names == [("us", 20), ("eu", 30), ("us", 40), ("eu", 0), ("us", 0)]
        assert len(jobs) == 10
        assert json.loads(jobs[0].headers or "") == {
            "penstock-schedule": "us",
            "penstock-tick": "2026-03-27T07:20:00Z",
        }
        runs = app.run_inline()
    assert [run.job_id for run in runs] == [tick.job for tick in at_once + by_minutes]
    assert refreshed == ["us", "eu", "us", "eu", "us"] * 2


def test_the_next_tick_may_be_of_one_schedule():
    """Ticks of others on the way are passed over: the clock stands at the tick."""
    app = App()

    @app.task(queue="reports", priority=3, max_attempts=2, schedule=cron("0 9 * * MON-FRI", timezone="Europe/Berlin"))
    def report() -> None: ...

    @app.task(schedule=every(timedelta(minutes=5), name="poll"))
    def poll() -> None: ...

    with app.test_mode() as jobs:
        clock = ScheduleClock(app, datetime(2026, 3, 27, 9, 0, tzinfo=BERLIN))
        name = app.schedules[0].name
        assert clock.fire_next().schedule == "poll"
        tick = clock.fire_next(name)
        assert (tick.schedule, tick.at) == (name, datetime(2026, 3, 30, 7, tzinfo=UTC))
        assert clock.now == tick.at
        jobs.assert_enqueued(report, times=1, queue="reports", priority=3, max_attempts=2)


def test_a_day_with_a_change_to_summer_time_has_one_tick_of_a_fixed_hour():
    """02:30 does not exist: it fires at 03:00. The interval counts elapsed time, 23 hours."""
    app = App()

    @app.task(schedule=[cron("30 2 * * *", timezone="Europe/Berlin", name="night"), every(timedelta(hours=1))])
    def close() -> None: ...

    with app.test_mode():
        clock = ScheduleClock(app, datetime(2026, 3, 29, tzinfo=BERLIN))
        ticks = clock.advance(timedelta(hours=23))
    assert [tick.at for tick in ticks if tick.schedule == "night"] == [datetime(2026, 3, 29, 1, tzinfo=UTC)]
    assert len([tick for tick in ticks if tick.schedule != "night"]) == 23
    assert clock.now == datetime(2026, 3, 30, tzinfo=BERLIN)


def test_an_hour_that_comes_twice_has_one_tick_of_a_fixed_hour_and_all_of_an_interval():
    """In autumn: 02:30 the first time, and every half hour in both."""
    app = App()

    @app.task(schedule=[cron("30 2 * * *", timezone="Europe/Berlin", name="night"), cron("*/30 * * * *", name="half")])
    def close() -> None: ...

    with app.test_mode():
        ticks = ScheduleClock(app, datetime(2026, 10, 25, tzinfo=BERLIN)).advance(timedelta(hours=25))
    assert [tick.at for tick in ticks if tick.schedule == "night"] == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]
    assert len([tick for tick in ticks if tick.schedule == "half"]) == 50


@pytest.mark.parametrize(
    ("options", "minutes"),
    [
        ({"missed": "Once"}, [60]),
        ({"missed": "All", "missed_limit": 3}, [40, 50, 60]),
        ({"missed": "All"}, [10, 20, 30, 40, 50, 60]),
        ({"missed": "Skip"}, []),
    ],
)
def test_ticks_that_nobody_fired_follow_the_policy(options: ScheduleOptions, minutes: list[int]):
    """Five minutes after the last of six; then the next one comes as ever."""
    app = App()

    @app.task(schedule=every(timedelta(minutes=10), **options))
    def poll() -> None: ...

    with app.test_mode():
        clock = ScheduleClock(app, FRIDAY)
        fired = clock.miss(timedelta(minutes=65))
        assert [tick.at for tick in fired] == [FRIDAY + timedelta(minutes=minute) for minute in minutes]
        assert clock.fire_next().at == FRIDAY + timedelta(minutes=70)


def test_a_skipped_policy_still_fires_a_tick_of_the_last_minute():
    """As the database decides: a tick up to a minute old is in time."""
    app = App()

    @app.task(schedule=every(timedelta(minutes=10), missed="Skip"))
    def poll() -> None: ...

    with app.test_mode():
        clock = ScheduleClock(app, FRIDAY)
        assert [tick.at for tick in clock.miss(timedelta(minutes=21))] == [FRIDAY + timedelta(minutes=20)]
        assert clock.miss(timedelta(minutes=11)) == []


def test_suspended_and_ended_schedules_do_not_fire():
    """A suspended one has a name, an ended one had its last tick."""
    app = App()

    @app.task(
        schedule=[
            cron("@hourly", name="off", suspend=True),
            cron("@hourly", name="once", ends_at=FRIDAY + timedelta(hours=1)),
        ]
    )
    def close() -> None: ...

    with app.test_mode():
        clock = ScheduleClock(app, FRIDAY)
        assert [tick.schedule for tick in clock.advance(timedelta(days=2))] == ["once"]
        for name in ("once", "off", None):
            with pytest.raises(ConfigurationError, match="no tick comes after 2026-03-29T07:00:00"):
                clock.fire_next(name)


def test_wrong_calls_are_refused_with_what_was_given():
    """A local time without its zone, an unknown name, a step back."""
    app = App()

    @app.task(schedule=cron("@daily", name="nightly"))
    def close() -> None: ...

    with pytest.raises(ConfigurationError, match=r"needs a datetime with a time zone, got datetime.datetime\(2026"):
        ScheduleClock(app, FRIDAY.replace(tzinfo=None))
    clock = ScheduleClock(app, FRIDAY)
    with pytest.raises(ConfigurationError, match="there is no schedule 'nigthly'; the App has nightly"):
        clock.fire_next("nigthly")
    for step in (clock.advance, clock.miss):
        with pytest.raises(ConfigurationError, match="does not go back, got -1 day"):
            step(-timedelta(days=1))
    assert clock.now == FRIDAY
