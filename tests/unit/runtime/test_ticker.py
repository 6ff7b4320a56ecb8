"""A tick repairs what is rare: unstarted claims, idle slots, lost attempts; a cordoned worker renews soon."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.ticker import Ticker
from tests.unit.runtime.support import job, running_state


class Parts:
    """The parts that a tick calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.released: list[Any] = []
        self.stale, self.waiting = [job()], [job(), job()]
        self.state, self.held_claims = running_state(), HeldClaims()
        self.lease = SimpleNamespace(state="running", renew_soon=lambda: self.calls.append("renew_soon"))
        consumers = SimpleNamespace(
            sweep=lambda: self.calls.append("sweep"),
            take_stale=lambda: self.stale,
            take_waiting=lambda: self.waiting,
            start_waiting=lambda: self.calls.append("start_waiting"),
            top_up=lambda: self.calls.append("top_up"),
        )
        unused = cast("Any", None)
        self.ticker = Ticker(
            probes=unused,
            metrics=unused,
            state=self.state,
            consumers=cast("Any", consumers),
            slots=unused,
            claimer=cast("Any", SimpleNamespace(release_later=self.released.extend)),
            lease=cast("Any", self.lease),
            held_claims=self.held_claims,
            signals=unused,
        )


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_a_tick_frees_slots_first_and_fills_them_last(parts):
    """A slot that it frees can be used by the same tick."""
    parts.ticker.tick()
    assert parts.calls == ["sweep", "start_waiting", "top_up"]


def test_only_stale_claims_are_released_while_the_worker_may_hold_jobs(parts):
    """The others will run soon."""
    parts.ticker.tick()
    assert parts.released == parts.stale


@pytest.mark.parametrize("how", ["cordoned", "draining"])
def test_every_unstarted_claim_is_released_once_the_worker_may_hold_none(parts, how):
    """Other workers have them at once."""
    if how == "cordoned":
        parts.state.lease_changed("cordoned")
    else:
        parts.state.drain()
    parts.ticker.tick()
    assert parts.released == parts.waiting


def test_a_tick_with_nothing_to_release_wakes_nobody(parts):
    """A wake-up would cost a statement twice a second."""
    parts.stale = []
    woken: list[object] = []
    parts.ticker.claimer = cast("Any", SimpleNamespace(release_later=woken.append))
    parts.ticker.tick()
    assert woken == []


@pytest.mark.parametrize(
    ("state", "claims", "soon"), [("cordoned", 0, True), ("cordoned", 1, False), ("running", 0, False)]
)
def test_a_cordoned_worker_that_holds_nothing_reports_it_at_once(parts, state, claims, soon):
    """The operator removes it at its next sample instead of after a renewal."""
    parts.lease.state = state
    parts.held_claims.add([job() for _ in range(claims)])
    parts.ticker.tick()
    assert ("renew_soon" in parts.calls) is soon
