"""What a person sees: the picture on a terminal, the lines elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from penstock.dev.autoscaler import QueueStatus, Scaled
from penstock.dev.processes import Member, MemberState
from penstock.dev.view import LiveView, Picture, PlainView, failure_line, render, replicas, view_for
from penstock.scaling import Bound, Decision, History, QueueSnapshot
from penstock.store.inspect.recent_failures import Failure

SEEN = QueueSnapshot(
    ready=120, deferred=3, due_soon=0, in_flight=9, dead=2, oldest_ready_seconds=4.25, sampled_at=1.0,
    completions_per_second=12.34,
)  # fmt: skip
DECISION = Decision(
    desired=4, wanted=6, bound=Bound.MAXIMUM, explanation="30 slots are 6 replicas; maxReplicas is 4.", computed_at=1.0,
    history=History(desired=4),
)  # fmt: skip
CRASHED = Member(
    name="emails-1",
    queue="emails",
    state=MemberState.CRASHED,
    pid=None,
    metrics_url="",
    last_line="no module named shop",
)
EMAILS = QueueStatus(name="emails", snapshot=SEEN, decision=DECISION, serving=4, leaving=0, members=(CRASHED,), ended=7)
UP = Scaled(at=1.0, queue="emails", before=0, after=4, bound="Maximum", explanation="because.")
FAILED = Failure(7, "emails", "shop.jobs:mail", 3, 3, True, 12.0, "builtins.ValueError", "bad address\nsecond line")
PICTURE = Picture(title="penstock dev", elapsed=3.0, queues=[EMAILS], scaled=[UP], failures=[FAILED], footer="metrics")


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=150, color_system=None), written


def lines(shown: PlainView, written: io.StringIO, picture: Picture) -> list[str]:
    before = len(written.getvalue())
    shown.show(picture)
    return written.getvalue()[before:].splitlines()


def test_the_picture_has_the_numbers_the_reason_and_the_troubles() -> None:
    """Everything that answers: how much, how many, why, and what is wrong."""
    drawn, written = console(terminal=True)
    drawn.print(render(replace(PICTURE, trouble="the server is away")))
    text = written.getvalue()
    numbers, reasons = ("120", "4.2s", "12.3"), ("Maximum: 30 slots are 6 replicas", "emails: 0 -> 4", "metrics")
    troubles = ("no module named shop", "the server is away", "bad address")
    assert [expected for expected in (*numbers, *reasons, *troubles) if expected not in text] == []
    assert "second line" not in text


def test_a_queue_that_cannot_be_seen_shows_no_numbers() -> None:
    """Question marks rather than zeros, which would say that it is empty."""
    drawn, written = console(terminal=True)
    drawn.print(render(replace(PICTURE, queues=[replace(EMAILS, snapshot=None)])))
    assert "?" in written.getvalue()
    assert "120" not in written.getvalue()


def test_replicas_tell_who_comes_and_who_leaves() -> None:
    """In as little room as a column has."""
    assert replicas(EMAILS) == "4"
    assert replicas(replace(EMAILS, serving=1)) == "1 of 4"
    assert replicas(replace(EMAILS, leaving=2)) == "4 -2"


def test_a_failure_says_whether_there_is_another_attempt() -> None:
    """Dead for, or again in."""
    assert "attempt 3 of 3, dead for 12 s: ValueError: bad address" in failure_line(FAILED)
    assert "attempt 3 of 3, again in 5 s" in failure_line(FAILED._replace(dead=False, seconds=-5.2))


def test_lines_tell_each_scale_decision_once() -> None:
    """And the queues only every few seconds."""
    drawn, written = console(terminal=False)
    shown = PlainView(drawn)
    assert len(lines(shown, written, PICTURE)) == 2
    assert lines(shown, written, replace(PICTURE, elapsed=3.5)) == []
    down = replace(UP, at=5.0, before=4, after=0)
    assert lines(shown, written, replace(PICTURE, elapsed=5.0, scaled=[UP, down])) == [
        "   5.0s  emails: 4 -> 0  Maximum: because."
    ]
    assert len(lines(shown, written, replace(PICTURE, elapsed=9.0, scaled=[UP, down]))) == 1


def test_the_view_fits_where_it_is_shown() -> None:
    """Moving on a terminal, lines elsewhere; both are left as they were found."""
    for terminal, kind in ((True, LiveView), (False, PlainView)):
        drawn, written = console(terminal=terminal)
        with view_for(drawn) as shown:
            assert isinstance(shown, kind)
            shown.say("[kept] as it is")
            shown.show(PICTURE)
        assert "[kept] as it is" in written.getvalue()
