"""The rules of a schedule: each fault is one error that names the schedule, the rule and the value."""

from __future__ import annotations

import random
import string
import tracemalloc
from datetime import UTC, date, datetime, timedelta
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


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no recurrence": ({}, "exactly one of cron and every"),
    "two recurrences": ({"cron": "* * * * *", "every": timedelta(1)}, "exactly one of cron and every"),
    "no name": ({"name": "", "cron": "* * * * *"}, "a name has 1 to 63"),
    "a name with a blank": ({"name": "a b", "cron": "* * * * *"}, "a name has 1 to 63"),
    "no task": ({"task": "", "cron": "* * * * *"}, "a task's name has 1 to 255"),
    "30 February": ({"cron": "0 0 30 2 *"}, "no date ever matches"),
    "31 November": ({"cron": "0 0 31 4,6,9,11 *"}, "no date ever matches"),
    "a weekday that 31 February would have": ({"cron": "0 0 */31 2,4,6,9,11 1#5"}, "no date ever matches"),
    "minute 60": ({"cron": "60 * * * *"}, "the minute of a cron expression is invalid: '60'"),
    "hour 24": ({"cron": "0 24 * * *"}, "the hour of a cron expression is invalid: '24'"),
    "day 0": ({"cron": "0 0 0 * *"}, "the day of month of a cron expression is invalid: '0'"),
    "month 13": ({"cron": "0 0 1 13 *"}, "the month of a cron expression is invalid: '13'"),
    "weekday 8": ({"cron": "0 0 * * 8"}, "the day of week of a cron expression is invalid: '8'"),
    "a step of 0": ({"cron": "*/0 * * * *"}, "the minute of a cron expression is invalid: '*/0'"),
    "a range backwards": ({"cron": "5-1 * * * *"}, "the minute of a cron expression is invalid: '5-1'"),
    "a last weekday with a step": ({"cron": "0 0 * * 5L/2"}, "the day of week"),
    "six fields": ({"cron": "* * * * * *"}, "has five fields"),
    "an unknown shortcut": ({"cron": "@reboot"}, "has five fields"),
    "an empty expression": ({"cron": ""}, "has 1 to 200 characters"),
    "a long expression": ({"cron": "1," * 200 + "1 * * * *"}, "has 1 to 200 characters"),
    "digits of another script": ({"cron": "٣ * * * *"}, "the minute"),
    "an unknown zone": ({"cron": "* * * * *", "time_zone": "Mars/Base"}, "an IANA name such as Europe/Berlin"),
    "a zone that is a path": ({"cron": "* * * * *", "time_zone": "../../etc/passwd"}, "an IANA name"),
    "a zone that is a folder": ({"cron": "* * * * *", "time_zone": "America"}, "an IANA name"),
    "an interval of 0": ({"every": timedelta(0)}, "1 second to 366 days in whole seconds"),
    "half a second": ({"every": timedelta(seconds=1.5)}, "1 second to 366 days in whole seconds"),
    "two years": ({"every": timedelta(days=730)}, "1 second to 366 days in whole seconds"),
    "an interval that is a number": ({"every": 5}, "1 second to 366 days in whole seconds"),
    "an unknown policy": ({"cron": "* * * * *", "missed": "Never"}, "missed must be one of Skip, Once, All"),
    "an unknown overlap": ({"cron": "* * * * *", "overlap": "allow"}, "overlap must be one of Allow, Skip, Queue"),
    "a limit of 0": ({"cron": "* * * * *", "missed_limit": 0}, "missed_limit must be 1 to 1000, got 0"),
    "jitter of a day": ({"cron": "* * * * *", "jitter_seconds": 86_400}, "jitter_seconds must be 0 to 3600"),
    "a lead that is a bool": ({"cron": "* * * * *", "lead_seconds": True}, "lead_seconds must be 0 to 3600, got True"),
    "a date without a zone": ({"cron": "* * * * *", "starts_at": NOW.replace(tzinfo=None)}, "with a time zone"),
    "an end before the start": (
        {"cron": "* * * * *", "starts_at": NOW, "ends_at": NOW - timedelta(1)},
        "starts_at must not be after ends_at",
    ),
    "arguments that are a list": ({"cron": "* * * * *", "args": [1]}, "args must be a mapping"),
    "arguments that are not JSON": ({"cron": "* * * * *", "args": {"a": {1}}}, "args must be JSON"),
    "arguments that are not a number": ({"cron": "* * * * *", "args": {"a": float("nan")}}, "args must be JSON"),
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


DOCUMENT = {"name": "nightly", "task": "shop:close", "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin"}


def test_an_entry_of_a_jobqueue_becomes_a_schedule():
    """Camel case, None as missing."""
    one = parse(DOCUMENT | {"missed": "All", "missedLimit": 5, "leadSeconds": 30, "suspend": None}, queue="q")
    assert (one.queue, one.time_zone, one.missed_limit, one.lead_seconds) == ("q", "Europe/Berlin", 5, 30)
    assert parse({"name": "a", "task": "t", "everySeconds": 90}).every == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (None, "must be a mapping"),
        ({"task": "t", "cron": "* * * * *"}, "the field 'name' is missing"),
        ({"name": "n", "cron": "* * * * *"}, "the field 'task' is missing"),
        (DOCUMENT | {"timezone": "UTC"}, "unknown field 'timezone'"),
        (DOCUMENT | {"everySeconds": "5"}, "everySeconds must be 1 to"),
        (DOCUMENT | {"startDate": "tomorrow"}, "startDate must be an RFC 3339 time"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_named(document, rule):
    """By the manifest's field."""
    with pytest.raises(InvalidSchedule, match=rule):
        parse(document)


PLAIN = {
    "0 9 * * MON-FRI": "at 09:00 on weekdays, Europe/Berlin",
    "*/15 * * * *": "every 15 minutes, Europe/Berlin",
    "@daily": "at 00:00 every day, Europe/Berlin",
    "0 0 L * *": "at 00:00 on the last day of every month, Europe/Berlin",
}


@pytest.mark.parametrize("cron", PLAIN)
def test_an_expression_is_described_in_plain_language(cron):
    """With its zone."""
    assert describe(made(cron=cron, time_zone="Europe/Berlin")) == PLAIN[cron]


def test_an_interval_is_described_with_its_units():
    """One of one unit is named alone; dates and jitter follow."""
    assert describe(made(every=timedelta(hours=1))) == "every hour"
    assert describe(made(every=timedelta(minutes=90))) == "every 1 hour 30 minutes"
    assert describe(made(every=timedelta(1), ends_at=NOW)) == "every day, until 2026-03-27T12:00:00+00:00"


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


def test_a_hostile_expression_costs_a_bounded_number_of_steps_and_little_memory(monkeypatch):
    """At most forty years of dates for its next tick, fourteen for whether it has any; under a megabyte."""
    monkeypatch.setattr(cron_module, "CronSim", Counted)
    rng = random.Random(7)
    alphabet = string.digits + "*/,-#LW" + " " * 4
    texts = HOSTILE + ["".join(rng.choices(alphabet, k=rng.randrange(5, 200))) for _ in range(300)]
    texts += [" ".join("".join(rng.choices("0123456789*/,-", k=3)) for _ in range(5)) for _ in range(300)]
    for text in texts:
        Counted.dates = 0
        tracemalloc.start()
        try:
            one = made(cron=text)
            describe(one)
            ticks_after(one, NOW, 1)
        except InvalidSchedule:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert Counted.dates <= 14 * 366 + 40 * 366, text
        assert peak < 1_000_000, text
