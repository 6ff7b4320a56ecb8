"""The view of penstock dev: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from penstock.dev.autoscaler import QueueStatus, Scaled
from penstock.dev.processes import WorkerProcess, WorkerProcessState
from penstock.dev.view import LiveView, PlainView, Status, failure_line, render, replicas, view_for
from penstock.scaling import Bound, Decision, History, QueueSnapshot
from penstock.store.inspect.recent_failures import FailedAttempt

SEEN = QueueSnapshot(
    ready=120,
    deferred=3,
    due_soon=0,
    in_flight=9,
    dead=2,
    oldest_ready_seconds=4.25,
    sampled_at=1.0,
    completions_per_second=12.34,
)
DECISION = Decision(
    desired=4,
    wanted=6,
    bound=Bound.MAXIMUM,
    explanation="30 slots are 6 replicas; maxReplicas is 4.",
    arithmetic="30 slots / 5 = 6 replicas.",
    computed_at=1.0,
    history=History(desired=4),
)
CRASHED = WorkerProcess(
    name="emails-1",
    queue="emails",
    state=WorkerProcessState.CRASHED,
    pid=None,
    metrics_url="",
    last_line="no module named shop",
)
EMAILS = QueueStatus(
    name="emails", snapshot=SEEN, decision=DECISION, serving=4, leaving=0, workers=(CRASHED,), finished=7
)
UP = Scaled(
    at=1.0, queue="emails", before=0, after=4, bound="Maximum", explanation="because.", arithmetic="30 slots / 5."
)
FAILED = FailedAttempt(
    7, "emails", "shop.jobs:mail", 3, 3, True, 12.0, "builtins.ValueError", "bad address\nsecond line"
)
STATUS = Status(title="penstock dev", elapsed=3.0, queues=[EMAILS], scaled=[UP], failures=[FAILED], footer="metrics")


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=150, color_system=None), written


def lines(shown: PlainView, written: io.StringIO, status: Status) -> list[str]:
    before = len(written.getvalue())
    shown.show(status)
    return written.getvalue()[before:].splitlines()


def test_the_view_has_the_numbers_the_reasons_and_the_errors() -> None:
    """Jobs, replicas, decisions, and what is wrong."""
    drawn, written = console(terminal=True)
    drawn.print(render(replace(STATUS, last_error="the server is away")))
    text = written.getvalue()
    numbers, reasons = ("120", "4.2s", "12.3"), ("Maximum: 30 slots are 6 replicas", "emails: 0 -> 4", "metrics")
    errors = ("no module named shop", "the server is away", "bad address")
    assert [expected for expected in (*numbers, *reasons, *errors) if expected not in text] == []
    assert "second line" not in text


def test_a_queue_that_cannot_be_seen_shows_no_numbers() -> None:
    """Question marks rather than zeros, which would say that it is empty."""
    drawn, written = console(terminal=True)
    drawn.print(render(replace(STATUS, queues=[replace(EMAILS, snapshot=None)])))
    assert "?" in written.getvalue()
    assert "120" not in written.getvalue()


def test_replicas_show_who_comes_and_who_leaves() -> None:
    """In as little room as a column has."""
    assert replicas(EMAILS) == "4"
    assert replicas(replace(EMAILS, serving=1)) == "1 of 4"
    assert replicas(replace(EMAILS, leaving=2)) == "4 -2"


def test_a_failure_says_whether_there_is_another_attempt() -> None:
    """Dead for, or retry in."""
    assert "attempt 3 of 3, dead for 12 s: ValueError: bad address" in failure_line(FAILED)
    assert "attempt 3 of 3, retry in 5 s" in failure_line(FAILED._replace(dead=False, seconds=-5.2))


def test_lines_show_each_scale_decision_once() -> None:
    """And the queues only every few seconds."""
    drawn, written = console(terminal=False)
    shown = PlainView(drawn)
    assert len(lines(shown, written, STATUS)) == 2
    assert lines(shown, written, replace(STATUS, elapsed=3.5)) == []
    down = replace(UP, at=5.0, before=4, after=0)
    assert lines(shown, written, replace(STATUS, elapsed=5.0, scaled=[UP, down])) == [
        "   5.0s  emails: 4 -> 0  Maximum: because."
    ]
    assert len(lines(shown, written, replace(STATUS, elapsed=9.0, scaled=[UP, down]))) == 1


def test_the_view_fits_where_it_is_shown() -> None:
    """Moving on a terminal, lines elsewhere; both are left as they were found."""
    for terminal, kind in ((True, LiveView), (False, PlainView)):
        drawn, written = console(terminal=terminal)
        with view_for(drawn) as shown:
            assert isinstance(shown, kind)
            shown.print("[kept] as it is")
            shown.show(STATUS)
        assert "[kept] as it is" in written.getvalue()


def test_explain_adds_the_arithmetic_of_each_decision() -> None:
    """To each queue's line and to each change of its replicas; without it there is none."""
    for explain in (False, True):
        drawn, written = console(terminal=True)
        drawn.print(render(replace(STATUS, explain=explain)))
        assert ("[30 slots / 5.]" in written.getvalue()) is explain
        assert ("30 slots / 5 = 6 replicas" in written.getvalue()) is explain
        drawn, written = console(terminal=False)
        PlainView(drawn).show(replace(STATUS, explain=explain))
        assert ("[30 slots / 5.]" in written.getvalue()) is explain
