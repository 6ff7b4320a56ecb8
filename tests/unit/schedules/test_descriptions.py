"""Recurrences in plain language, as `penstock schedules`, `status.schedules` and the console show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from penstock.schedules import Schedule, describe

CRONS = {
    "* * * * *": "every minute",
    "*/1 * * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "*/7 * * * *": "every seventh minute of every hour",
    "*/30 * * * MON-FRI": "every 30 minutes on weekdays",
    "*/10 * * * 1": "every 10 minutes on Mondays",
    "*/5 9-17 * * 1-5": "every 5 minutes from 09:00 through 17:59 on weekdays",
    "1-59/2 * * * *": "every second minute from 1 through 59 of every hour",
    "0-10 * * * *": "every minute from 0 through 10 of every hour",
    "* 9 * * *": "every minute from 09:00 through 09:59",
    "* * 1 * *": "every minute on the first day of every month",
    "* * * 1 *": "every minute in January",
    "@hourly": "at the start of every hour",
    "5 * * * *": "at minute 5 of every hour",
    "5,35 * * * *": "at minutes 5 and 35 of every hour",
    "0 */2 * * *": "every 2 hours on the hour",
    "0 */3 * * 1-5": "every 3 hours on the hour on weekdays",
    "0 */5 * * *": "at minute 0 of every fifth hour",
    "30 */6 * * *": "at minute 30 of every sixth hour",
    "0 9-17 * * *": "every hour from 09:00 through 17:00",
    "0 0-2 * * *": "every hour from 00:00 through 02:00",
    "0 1-23/2 * * *": "at minute 0 of every second hour from 1 through 23",
    "@daily": "at 00:00 every day",
    "@midnight": "at 00:00 every day",
    "00 09 * * *": "at 09:00 every day",
    "0 9,17 * * *": "at 09:00 and 17:00 every day",
    "0,30 9,17 * * *": "at 09:00, 09:30, 17:00, and 17:30 every day",
    "0 9 * 1-12 *": "at 09:00 every day",
    "0 9 * * SUN-SAT": "at 09:00 every day",
    "0 9 * * MON-FRI": "at 09:00 on weekdays",
    "0 9 * * 0-4": "at 09:00 on Sunday through Thursday",
    "@weekly": "at 00:00 on Sundays",
    "0 12 * * 7": "at 12:00 on Sundays",
    "0 9 * * SAT,SUN": "at 09:00 on Saturdays and Sundays",
    "30 2 * * 2,4": "at 02:30 on Tuesdays and Thursdays",
    "0 9 * * 1,3,5": "at 09:00 on Mondays, Wednesdays, and Fridays",
    "0 0 * * 5L": "at 00:00 on the last Friday of the month",
    "0 9 * * MON#1": "at 09:00 on the first Monday of the month",
    "@monthly": "at 00:00 on the first day of every month",
    "0 0 1,15 * *": "at 00:00 on the first and the 15th day of the month",
    "0 9 11,21,22,23,31 * *": "at 09:00 on the 11th, the 21st, the 22nd, the 23rd, and the 31st day of the month",
    "*/23 * * * *": "every 23rd minute of every hour",
    "0 0 13 * 5": "at 00:00 on the 13th day of the month and on Fridays",
    "0 9 1-7 * *": "at 09:00 on days 1 through 7 of the month",
    "0 9 */2 * *": "at 09:00 on every second day of the month",
    "0 0 L * *": "at 00:00 on the last day of every month",
    "0 0 LW * *": "at 00:00 on the last weekday of every month",
    "0 9 1 */3 *": "at 09:00 on the first day of every third month",
    "0 9 * JAN-MAR *": "at 09:00 every day from January through March",
    "0 9 * 6 *": "at 09:00 every day in June",
    "0 0 1 1,7 *": "at 00:00 on the first day of January and July",
    "@yearly": "at 00:00 on January 1",
    "0 0 29 2 *": "at 00:00 on February 29",
}
INTERVALS = {
    timedelta(seconds=1): "every second",
    timedelta(seconds=90): "every 90 seconds",
    timedelta(minutes=1): "every minute",
    timedelta(minutes=5): "every 5 minutes",
    timedelta(minutes=90): "every 90 minutes",
    timedelta(hours=1): "every hour",
    timedelta(hours=25): "every 25 hours",
    timedelta(seconds=3661): "every 1 hour 1 minute 1 second",
    timedelta(days=1): "every day",
    timedelta(days=7): "every 7 days",
    timedelta(days=366): "every 366 days",
}


@pytest.mark.parametrize("cron", CRONS)
def test_an_expression_is_described_in_plain_language(cron):
    """With its zone after a comma."""
    one = Schedule(name="n", task="t", cron=cron, time_zone="Europe/Berlin")
    assert describe(one) == f"{CRONS[cron]}, Europe/Berlin"


@pytest.mark.parametrize("every", INTERVALS)
def test_an_interval_is_described_with_the_unit_that_fits(every):
    """One of one unit is named alone."""
    assert describe(Schedule(name="n", task="t", every=every)) == INTERVALS[every]


def test_a_long_list_of_times_is_the_expression_itself():
    """Sixty minutes and twenty-four hours, each by its number, are no plain language."""
    cron = f"{','.join(map(str, range(0, 60, 2)))},1 {','.join(map(str, range(0, 24, 2)))},1 * * *"
    assert describe(Schedule(name="n", task="t", cron=cron)) == f"at the times of {cron}, UTC"


def test_jitter_and_dates_follow():
    """Jitter as the schedule's own constant, dates with their zone."""
    start, end = datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    one = Schedule(name="n", task="t", every=timedelta(days=1), starts_at=start, ends_at=end, jitter_seconds=600)
    jitter = one.jitter.total_seconds()
    text = f"every day, plus {jitter:.0f} s of jitter, from 2026-03-27T12:00:00+00:00, until 2026-04-01T00:00:00+00:00"
    assert describe(one) == text
