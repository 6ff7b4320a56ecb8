"""The filters of lists and bulk commands, the question before a bulk change, and the progress bar."""

from __future__ import annotations

import io
import os
import pty
import sys
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from penstock.cli.bulk_command import ProgressBar, batches, confirmed
from penstock.cli.filters import LIVE, check_selection, moment, states
from penstock.errors import ConfigurationError
from penstock.job import JobState

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def never() -> NoReturn:
    raise AssertionError("nobody asked for the clock")


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5h", 5400), ("3d", 259_200), ("1w", 604_800), ("0s", 0)],
)
def test_a_relative_time_counts_back_from_the_databases_clock(text: str, ago: float):
    """Because that clock wrote the times that it is compared with."""
    assert moment(text, lambda: NOW) == NOW - timedelta(seconds=ago)


def test_an_absolute_time_needs_no_clock_and_is_utc_unless_it_says():
    """ISO 8601."""
    assert moment("2026-01-31T12:00Z", never) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment("2026-01-31 12:00", never) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment("2026-01-31T12:00+02:00", never) == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert moment(None, never) is None


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "5y", "soon", "999999999w", "2026-13-01", "m"])
def test_what_is_no_time_is_refused_with_examples(text: str):
    """The message repeats the value."""
    with pytest.raises(ConfigurationError, match="90s, 15m, 2h") as caught:
        moment(text, lambda: NOW)
    assert repr(text) in str(caught.value)


def test_states_are_limited_to_those_that_the_command_can_change():
    """A finished job cannot be cancelled."""
    assert states(None) == frozenset(JobState)
    assert states(["dead", "dead"]) == {JobState.DEAD}
    assert states(None, default=LIVE) == {JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING}
    with pytest.raises(ConfigurationError, match="one of scheduled, queued, running, got 'dead'"):
        states(["dead"], default=LIVE)


@pytest.mark.parametrize(
    ("ids", "filtered", "everything", "refused"),
    [
        ([1], False, False, ""),
        (None, True, False, ""),
        (None, False, True, ""),
        (None, True, True, ""),
        (None, False, False, "which jobs"),
        ([1], True, False, "not both"),
        ([1], False, True, "not both"),
    ],
)
def test_a_bulk_command_needs_ids_or_a_filter_or_all(ids, filtered, everything, refused):
    """A forgotten filter must not mean all."""
    if refused:
        with pytest.raises(ConfigurationError, match=refused):
            check_selection(ids, filtered=filtered, everything=everything, noun="jobs")
    else:
        check_selection(ids, filtered=filtered, everything=everything, noun="jobs")


def test_batches_hold_everything_in_order():
    """Five hundred each."""
    assert [list(some) for some in batches(range(1001))] == [list(range(500)), list(range(500, 1000)), [1000]]
    assert list(batches([])) == []


def test_without_a_terminal_a_question_is_refused(monkeypatch):
    """A script that forgot --yes must not wait for an answer."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigurationError, match="give --yes"):
        confirmed("Cancel 3 jobs?", yes=False)
    assert confirmed("Cancel 3 jobs?", yes=True)


def test_progress_is_drawn_only_on_a_terminal(monkeypatch):
    """And on stderr: stdout is the output."""
    kept = io.StringIO()
    monkeypatch.setattr(sys, "stderr", kept)
    with ProgressBar(10, "cancelling") as progress:
        progress.advance(5)
    assert kept.getvalue() == ""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            with ProgressBar(10, "cancelling") as progress:
                progress.advance(5)
                progress.to(10)
            terminal.flush()
            shown = ""
            while not shown.endswith("\n"):  # a terminal hands on what it has got so far
                shown += os.read(ours, 4096).decode()
    finally:
        os.close(ours)
    assert "\rcancelling [###############...............] 5 of 10" in shown
    assert shown.endswith("] 10 of 10\r\n")
