"""The rules of a schedule: each fault is one error that names the schedule, the rule and the value."""

from __future__ import annotations

import random
import string
import tracemalloc
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from cronsim import CronSim

from penstock.errors import InvalidSchedule
from penstock.schedules import Schedule, describe, parse, ticks_after
from penstock.schedules import cron_expression as cron_module

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)


def made(**values: Any) -> Schedule:
    given: dict[str, Any] = {"name": "n", "task": "t"} | values
    return Schedule(**given)


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no recurrence": ({}, "exactly one of cron and every"),
    "two recurrences": ({"cron": "* * * * *", "every": timedelta(1)}, "exactly one of cron and every"),
    "no name": ({"name": "", "cron": "* * * * *"}, "a name has 1 to 63"),
    "a name with a blank": ({"name": "a b", "cron": "* * * * *"}, "a name has 1 to 63"),
    "no task": ({"task": "", "cron": "* * * * *"}, "a task's name has 1 to 200"),
    "a task of 201 characters": ({"task": "t" * 201, "cron": "* * * * *"}, "a task's name has 1 to 200"),
    "a task with a blank": ({"task": "a b", "cron": "* * * * *"}, "without spaces, got 'a b'"),
    "a task with a line break": ({"task": "a\n", "cron": "* * * * *"}, "without spaces, got 'a\\n'"),
    "a task with NUL": ({"task": "a\0", "cron": "* * * * *"}, "without spaces, got 'a\\x00'"),
    "a name that is a number": ({"name": 5, "cron": "* * * * *"}, "a name has 1 to 63"),
    "a name that starts with a dash": ({"name": "-a", "cron": "* * * * *"}, "a letter or digit at both ends"),
    "a name with a line break": ({"name": "a\n", "cron": "* * * * *"}, "a name has 1 to 63"),
    "a suspension that is text": ({"cron": "* * * * *", "suspend": "no"}, "suspend must be true or false, got 'no'"),
    "a priority that does not exist": ({"cron": "* * * * *", "priority": 4}, "priority must be 0 to 3, got 4"),
    "no attempts": ({"cron": "* * * * *", "max_attempts": 0}, "max_attempts must be 1 to 1000, got 0"),
    "30 February": ({"cron": "0 0 30 2 *"}, "no date ever matches"),
    "31 November": ({"cron": "0 0 31 4,6,9,11 *"}, "no date ever matches"),
    "a weekday that 31 February would have": ({"cron": "0 0 */31 2,4,6,9,11 1#5"}, "no date ever matches"),
    "minute 60": ({"cron": "60 * * * *"}, "invalid: '60' in '60 * * * *'; it takes 0 to 59, asc"),
    "hour 24": ({"cron": "0 24 * * *"}, "the hour of a cron expression is invalid: '24'"),
    "day 0": ({"cron": "0 0 0 * *"}, "the day of month of a cron expression is invalid: '0'"),
    "month 13": ({"cron": "0 0 1 13 *"}, "the month of a cron expression is invalid: '13'"),
    "weekday 8": ({"cron": "0 0 * * 8"}, "the day of week of a cron expression is invalid: '8'"),
    "a step of 0": ({"cron": "*/0 * * * *"}, "the minute of a cron expression is invalid: '*/0'"),
    "a step above the hour": ({"cron": "*/90 * * * *"}, "'*/90' in '*/90 * * * *'; a step of it is at most 59"),
    "a step above the day": ({"cron": "0 */24 * * *"}, "'*/24' in '0 */24 * * *'; a step of it is at most 23"),
    "a step of a thousand digits": ({"cron": "*/" + "9" * 150 + " * * * *"}, "a step of it is at most 59"),
    "a name in full": ({"cron": "0 9 * * monday"}, "it takes 0 to 7, SUN to SAT, 5L and 5#2"),
    "a range backwards": ({"cron": "5-1 * * * *"}, "the minute of a cron expression is invalid: '5-1'"),
    "a last weekday with a step": ({"cron": "0 0 * * 5L/2"}, "the day of week"),
    "six fields": ({"cron": "* * * * * *"}, "has five fields"),
    "an unknown shortcut": ({"cron": "@reboot"}, "a shortcut is one of @hourly, @daily, "),
    "an interval as a shortcut": ({"cron": "@every 5m"}, "a shortcut is one of @hourly, @daily, "),
    "a question mark": ({"cron": "0 9 ? * MON"}, "the day of month of a cron expression is invalid: '?'"),
    "a hash of Jenkins": ({"cron": "H * * * *"}, "the minute of a cron expression is invalid: 'H'"),
    "a variable before it": ({"cron": "TZ=UTC 0 9 * * *"}, "has five fields"),
    "a NUL character": ({"cron": "\0 * * * *"}, "the minute of a cron expression is invalid: '\\x00'"),
    "an expression that is a number": ({"cron": 5}, "has 1 to 200 characters, got 5"),
    "an expression that is a list": ({"cron": ["*"] * 5}, "has 1 to 200 characters, got ['*'"),
    "an expression that is bytes": ({"cron": b"* * * * *"}, "has 1 to 200 characters, got b'* * * * *'"),
    "an empty expression": ({"cron": ""}, "has 1 to 200 characters"),
    "a long expression": ({"cron": "1," * 200 + "1 * * * *"}, "has 1 to 200 characters"),
    "sixty-one terms": ({"cron": "1," * 60 + "1 * * * *"}, "the minute of a cron expression is invalid"),
    "201 characters": ({"cron": "1 * * * *".ljust(201)}, "has 1 to 200 characters"),
    "digits of another script": ({"cron": "٣ * * * *"}, "the minute"),
    "an unknown zone": ({"cron": "* * * * *", "time_zone": "Mars/Base"}, "an IANA name such as Europe/Berlin"),
    "a zone that is a path": ({"cron": "* * * * *", "time_zone": "../../etc/passwd"}, "an IANA name"),
    "no zone": ({"cron": "* * * * *", "time_zone": None}, "an IANA name"),
    "a zone in small letters": ({"cron": "* * * * *", "time_zone": "europe/berlin\n"}, "an IANA name"),
    "an offset": ({"cron": "* * * * *", "time_zone": "+01:00"}, "an IANA name"),
    "the zone of the machine": ({"cron": "* * * * *", "time_zone": "localtime"}, "an IANA name"),
    "a zone with leap seconds": ({"cron": "* * * * *", "time_zone": "right/UTC"}, "an IANA name"),
    "a zone that is a folder": ({"cron": "* * * * *", "time_zone": "America"}, "an IANA name"),
    "an interval of 0": ({"every": timedelta(0)}, "1 second to 366 days in whole seconds"),
    "half a second": ({"every": timedelta(seconds=1.5)}, "1 second to 366 days in whole seconds"),
    "two years": ({"every": timedelta(days=730)}, "1 second to 366 days in whole seconds"),
    "an interval backwards": ({"every": -timedelta(1)}, "1 second to 366 days in whole seconds"),
    "the longest interval there is": ({"every": timedelta.max}, "1 second to 366 days in whole seconds"),
    "an interval that is a number": ({"every": 5}, "1 second to 366 days in whole seconds"),
    "an unknown policy": ({"cron": "* * * * *", "missed": "Never"}, "missed must be one of Skip, Once, All"),
    "an unknown overlap": ({"cron": "* * * * *", "overlap": "allow"}, "overlap must be one of Allow, Skip, Queue"),
    "a limit of 0": ({"cron": "* * * * *", "missed_limit": 0}, "missed_limit must be 1 to 1000, got 0"),
    "a limit that is a bool": ({"cron": "* * * * *", "missed_limit": True}, "missed_limit must be 1 to 1000, got True"),
    "a policy that is a list": ({"cron": "* * * * *", "missed": ["Skip"]}, "missed must be one of Skip, Once, All"),
    "jitter that is a fraction": ({"cron": "* * * * *", "jitter_seconds": 0.5}, "jitter_seconds must be 0 to 3600"),
    "a lead of more than an hour": ({"cron": "* * * * *", "lead_seconds": 3601}, "lead_seconds must be 0 to 3600"),
    "jitter of a day": ({"cron": "* * * * *", "jitter_seconds": 86_400}, "jitter_seconds must be 0 to 3600"),
    "a lead that is a bool": ({"cron": "* * * * *", "lead_seconds": True}, "lead_seconds must be 0 to 3600, got True"),
    "a date without a zone": ({"cron": "* * * * *", "starts_at": NOW.replace(tzinfo=None)}, "with a time zone"),
    "a date that is text": ({"cron": "* * * * *", "ends_at": "2026-01-01"}, "ends_at must be a datetime with a time"),
    "a date without a time": ({"cron": "* * * * *", "starts_at": date(2026, 1, 1)}, "must be a datetime with a time"),
    "the first date there is": (
        {"cron": "* * * * *", "starts_at": datetime.min.replace(tzinfo=UTC)},
        "starts_at must be in the years 1970 to 9000, got 0001-01-01T00:00:00+00:00",
    ),
    "the last date there is": (
        {"every": timedelta(days=366), "starts_at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))},
        "starts_at must be in the years 1970 to 9000, got 9999-12-31T",
    ),
    "an end before the start": (
        {"cron": "* * * * *", "starts_at": NOW, "ends_at": NOW - timedelta(1)},
        "starts_at must not be after ends_at",
    ),
    "arguments that are a list": ({"cron": "* * * * *", "args": [1]}, "args must be a mapping"),
    "arguments that are not JSON": ({"cron": "* * * * *", "args": {"a": {1}}}, "args must be JSON"),
    "arguments that are not a number": ({"cron": "* * * * *", "args": {"a": float("nan")}}, "args must be JSON"),
    "arguments with NUL": ({"cron": "* * * * *", "args": {"a": ["\0"]}}, "args must not contain a NUL character"),
    "a parameter with NUL": ({"cron": "* * * * *", "args": {"\0": 1}}, "args must not contain a NUL character"),
    "half a character": ({"cron": "* * * * *", "args": {"a": "\ud800"}}, "args must be JSON"),
    "arguments of great depth": ({"cron": "* * * * *", "args": nested(100_000)}, "nested too deeply"),
    "a number of 5,000 digits": ({"cron": "* * * * *", "args": {"a": 10**5000}}, "args must be JSON"),
    "arguments above 64 KiB": ({"cron": "* * * * *", "args": {"a": "x" * 65_536}}, "the limit is 65536"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_clear_error(fault):
    """It starts with the schedule's name."""
    values, rule = FAULTS[fault]
    with pytest.raises(InvalidSchedule) as raised:
        made(**values)
    assert rule in str(raised.value)
    assert str(raised.value).startswith(f"schedule {values.get('name', 'n')!r}")


def test_what_only_seems_wrong_is_accepted():
    """A backslash before u0000 is text; jitter above the interval moves all ticks alike; 29 February comes."""
    made(cron="* * * * *", args={"a": r"\u0000"})
    made(every=timedelta(seconds=10), jitter_seconds=3600)
    assert ticks_after(made(cron="0 0 29 2 *"), NOW, 1) == [datetime(2028, 2, 29, tzinfo=UTC)]
    assert ticks_after(made(cron=" 0\t9 * * mon-fri"), NOW, 1) == [datetime(2026, 3, 30, 9, tzinfo=UTC)]


AT_BOUNDS: list[dict[str, Any]] = [
    {"cron": "1," * 59 + "1 * * * *"},
    {"cron": "1 * * * *".ljust(200)},
    {"cron": "*/59 */23 * * *"},
    {"every": timedelta(seconds=1)},
    {"every": timedelta(days=366)},
    {"cron": "@daily", "missed_limit": 1, "jitter_seconds": 0, "lead_seconds": 0, "priority": 0, "max_attempts": 1},
    {"cron": "@daily", "missed_limit": 1000, "jitter_seconds": 3600, "lead_seconds": 3600},
    {"cron": "@daily", "priority": 3, "max_attempts": 1000},
    {"cron": "@daily", "starts_at": datetime(1970, 1, 1, tzinfo=UTC), "ends_at": datetime(9000, 1, 1, tzinfo=UTC)},
    {"cron": "@daily", "starts_at": NOW, "ends_at": NOW},
    {"cron": "@daily", "name": "n" * 63, "task": "t" * 200},
]


@pytest.mark.parametrize("values", AT_BOUNDS, ids=[" ".join(values) + f" {n}" for n, values in enumerate(AT_BOUNDS)])
def test_the_bounds_themselves_are_accepted(values):
    """The least and the most that each rule allows."""
    made(**values)


@pytest.mark.parametrize("weekday", range(7))
def test_29_february_on_each_weekday_is_found(weekday):
    """The star makes both days conditions; across 2100 it takes up to forty years."""
    one = made(cron=f"0 0 */28 2 {weekday}#5")
    [tick] = ticks_after(one, datetime(2072, 3, 1, tzinfo=UTC), 1)
    assert (tick.month, tick.day, tick.isoweekday() % 7) == (2, 29, weekday)
    assert tick.year <= 2112


DOCUMENT = {"name": "nightly", "task": "shop:close", "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin"}


def test_an_entry_of_a_jobqueue_becomes_a_schedule():
    """Camel case, None as missing."""
    one = parse(DOCUMENT | {"missed": "All", "missedLimit": 5, "leadSeconds": 30, "suspend": None}, queue="q")
    assert (one.queue, one.time_zone, one.missed_limit, one.lead_seconds) == ("q", "Europe/Berlin", 5, 30)
    assert parse({"name": "a", "task": "t", "everySeconds": 90}).every == timedelta(seconds=90)


def test_an_entry_whose_only_tick_is_at_both_its_dates_is_accepted():
    """Both are inclusive."""
    at = "2027-03-01T09:00:00Z"
    one = parse({"name": "n", "task": "t", "cron": "0 9 1 3 *", "startDate": at, "endDate": at})
    assert ticks_after(one, NOW, 5) == [datetime(2027, 3, 1, 9, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (None, "must be a mapping"),
        ({"task": "t", "cron": "* * * * *"}, "the field 'name' is missing"),
        ({"name": "n", "cron": "* * * * *"}, "the field 'task' is missing"),
        (DOCUMENT | {"timezone": "UTC"}, "unknown field 'timezone'"),
        (DOCUMENT | {"everySeconds": "5"}, "everySeconds must be 1 to"),
        (DOCUMENT | {"startDate": "tomorrow"}, "startDate must be an RFC 3339 time"),
        (
            DOCUMENT | {"cron": "0 0 1 2 *", "startDate": "2027-03-01T00:00:00Z", "endDate": "2027-04-01T00:00:00Z"},
            r"no tick of '0 0 1 2 \*' comes between 2027-03-01T00:00:00\+00:00 and 2027-04-01T00:00:00\+00:00",
        ),
    ],
)
def test_an_entry_that_breaks_a_rule_is_named(document, rule):
    """By the manifest's field."""
    with pytest.raises(InvalidSchedule, match=rule):
        parse(document)


class Counted(CronSim):
    """Counts the dates that were matched."""

    dates = 0

    def match_day(self, d: date) -> bool:
        Counted.dates += 1
        return super().match_day(d)


HOSTILE = [
    "0 0 */31 2,4,6,9,11 1#5",
    "* * */20 * 1L",
    "0 0 */28 2 1#5",
    "0 0 */29 2 */6",
    "1," * 90 + "1 * * * *",
    "0-59/1 " * 5,
    "9" * 190 + " * * * *",
    "*/" + "9" * 150 + " * * * *",
    "1#" * 60 + "1 * * * *",
    "* " * 100,
    "-" * 180 + " * * * *",
    "*,*,*,*,*,* " * 5,
    "L,LW,1,L 0 L,LW L *",
]


def costs_little(**values: Any) -> bool:
    """Checks the bounds of one declaration, its text and its next tick; True if it was accepted."""
    Counted.dates, accepted = 0, True
    tracemalloc.start()
    try:
        one = made(**values)
        describe(one)
        ticks_after(one, NOW, 1)
    except InvalidSchedule:
        accepted = False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert Counted.dates <= 14 * 366 + 40 * 366, values
    assert peak < 1_000_000, values
    return accepted


MINUTES = ("*", "59", "0-59/1", ",".join(["0"] * 60))
HOURS = ("*", "*/23", ",".join(map(str, range(24))))
DATES = ("29 2 *", "29 2 1#5", "L 2 1#5", "31 4,6,9,11 5L", "LW 1-12/1 0-7", "L,LW,29 FEB MON#5", "31,30 2 */6")


def test_the_worst_expressions_cost_a_bounded_number_of_steps(monkeypatch):
    """Wide fields before dates that are rare, from 2026 on and from the year 8990 on, in a zone with its changes."""
    monkeypatch.setattr(cron_module, "CronSim", Counted)
    far = {"starts_at": datetime(8990, 1, 1, tzinfo=UTC), "ends_at": datetime(8999, 1, 1, tzinfo=UTC)}
    accepted = 0
    for minute, hour, dates in product(MINUTES, HOURS, DATES):
        for values in ({}, far):
            accepted += costs_little(cron=f"{minute} {hour} {dates}", time_zone="America/New_York", **values)
    assert accepted > 80


def test_a_hostile_expression_costs_a_bounded_number_of_steps_and_little_memory(monkeypatch):
    """At most forty years of dates for its next tick, fourteen for whether it has any; under a megabyte."""
    monkeypatch.setattr(cron_module, "CronSim", Counted)
    rng = random.Random(7)
    alphabet = string.digits + "*/,-#LW" + " " * 4
    texts = HOSTILE + ["".join(rng.choices(alphabet, k=rng.randrange(5, 200))) for _ in range(300)]
    texts += [" ".join("".join(rng.choices("0123456789*/,-", k=3)) for _ in range(5)) for _ in range(300)]
    for text in texts:
        costs_little(cron=text)
