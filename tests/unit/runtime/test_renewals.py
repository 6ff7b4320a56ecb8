"""What a renewal says reaches the part that it concerns, and no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.renewals import RenewalHandler
from penstock.store import MovedRenewal, Renewal
from tests.unit.runtime.support import job, running_state, until


class Parts:
    """The parts of a worker; each notes what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.held_claims, self.state = HeldClaims(), running_state()
        self.unstarted = [job(), job()]
        self.held_claims.add(self.unstarted)
        self.lease = SimpleNamespace(state="running", worker=1)
        self.handler = RenewalHandler(
            lease=cast("Any", self.lease),
            state=self.state,
            held_claims=self.held_claims,
            claimer=self._noting("wake", "check_claims"),
            consumers=self._noting("cancel_jobs", "ask", "start_waiting", drop=self._drop),
            exclusive=self._noting("fenced"),
            children=self._noting("renewed"),
        )

    def _drop(self, fenced: set[tuple[int, int]]) -> list[Any]:
        return [one for one in self.unstarted if (one.id, one.token) in fenced]

    def _noting(self, *names: str, **others: Any) -> Any:
        def noting(name: str) -> Any:
            def note(*values: object, **options: object) -> None:
                self.calls.append((name, values[0] if values else options))

            return note

        return SimpleNamespace(**{name: noting(name) for name in names}, **others)

    def apply(self, kind: type[Renewal] = Renewal, **says: Any) -> list[str]:
        self.calls.clear()
        self.handler.apply(kind(**{"state": "running", "fenced": [], "cancelled": [], **says}))
        return [name for name, _ in self.calls]

    def given(self, name: str) -> object:
        return next(value for call, value in self.calls if call == name)


def test_a_renewal_without_news_lets_waiting_jobs_start_and_demand_go_out():
    """The lease may have been too old for both before it."""
    parts = Parts()
    assert parts.apply() == ["renewed", "check_claims", "start_waiting", "ask", "wake"]
    assert parts.given("check_claims") == {"moved": False}


def test_claims_are_checked_when_another_server_answered():
    """A failover may have lost the last commits."""
    parts = Parts()
    parts.apply(MovedRenewal)
    assert parts.given("check_claims") == {"moved": True}


def test_fenced_claims_are_forgotten_if_they_were_not_started():
    """An exclusive attempt that runs is stopped; any other runs until it finishes, and its outcome is rejected."""
    parts = Parts()
    lost, kept = parts.unstarted
    parts.apply(fenced=[(lost.id, lost.token), (999, 1)])
    assert parts.held_claims.snapshot() == [kept]
    assert parts.given("fenced") == {(lost.id, lost.token), (999, 1)}


def test_requested_cancellations_reach_the_consumers():
    """By job id."""
    parts = Parts()
    parts.apply(cancelled=[5, 6])
    assert parts.given("cancel_jobs") == {5, 6}
    assert "fenced" not in [name for name, _ in parts.calls]


def test_a_change_of_the_workers_state_is_logged_once_and_a_cordoned_worker_starts_nothing(caplog):
    """The next renewals say the same."""
    caplog.set_level("INFO", "penstock.worker")
    parts = Parts()
    parts.lease.state = "cordoned"
    assert parts.apply() == ["renewed", "check_claims"]
    assert parts.apply() == ["renewed", "check_claims"]
    (record,) = [one for one in caplog.records if one.message == "worker state changed"]
    assert (record.__dict__["lease"], record.__dict__["phase"]) == ("cordoned", "cordoned")


async def test_a_renewal_is_handed_over_to_the_event_loop():
    """The lease thread touches no part itself."""
    parts = Parts()
    loop = asyncio.get_running_loop()
    renewal = Renewal(state="running", fenced=[], cancelled=[7])
    await asyncio.to_thread(parts.handler.hand_over, renewal, loop)
    await until(lambda: ("cancel_jobs", {7}) in parts.calls)


def test_a_renewal_after_the_loop_was_closed_is_dropped():
    """The worker has exited; nothing is left to apply it to."""
    parts = Parts()
    loop = asyncio.new_event_loop()
    loop.close()
    parts.handler.hand_over(Renewal(state="running", fenced=[], cancelled=[7]), loop)
    assert parts.calls == []
