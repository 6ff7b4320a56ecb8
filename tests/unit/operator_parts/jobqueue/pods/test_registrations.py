"""Ready pods that serve another database than the one that is sampled."""

from __future__ import annotations

from penstock_operator.jobqueue.pods.registrations import GRACE_SECONDS, Registrations
from tests.unit.operator_parts.objects import pod

HERE = [{"pod": "a"}]


def test_a_ready_pod_that_never_registers_here_is_named_after_a_grace():
    """And only then; one that registers within it is not."""
    registrations = Registrations()
    assert registrations.observe([pod("a"), pod("b")], HERE, 100) is None
    assert [registrations.pending] == [True]
    assert registrations.observe([pod("a"), pod("b")], HERE, 100 + GRACE_SECONDS - 1) is None
    found = registrations.observe([pod("a"), pod("b")], HERE, 100 + GRACE_SECONDS)
    assert found is not None
    assert found[0] == "WrongDatabase"
    assert "Pod b is Ready, but has no worker" in found[1]
    assert [registrations.pending] == [False]
    assert registrations.observe([pod("a"), pod("b")], [*HERE, {"pod": "b"}], 200) is None


def test_pods_that_are_not_ready_or_leave_and_databases_that_cannot_be_sampled_say_nothing():
    """What is not known is not reported, and the grace period starts again."""
    registrations = Registrations()
    leaving = pod("c", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    for now in (0, GRACE_SECONDS):
        assert registrations.observe([pod("b", ready=False), leaving], [], now) is None
    assert registrations.observe([pod("b")], [], 100) is None
    assert registrations.observe([pod("b")], None, 100 + GRACE_SECONDS) is None
    assert not registrations.pending
    assert registrations.observe([pod("b")], [], 101 + GRACE_SECONDS) is None


def test_many_pods_are_counted_beyond_three_names():
    """A condition has room for a sentence, not for a fleet."""
    registrations = Registrations()
    fleet = [pod(f"p{number}") for number in range(5)]
    registrations.observe(fleet, [], 0)
    found = registrations.observe(fleet, [], GRACE_SECONDS)
    assert found is not None
    assert "Pods p0, p1, p2 and 2 more are Ready" in found[1]
