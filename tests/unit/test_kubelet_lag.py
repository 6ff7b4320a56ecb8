"""The harness publishes readiness as late as a kubelet does."""

from __future__ import annotations

from tests.support.pod_lag import Lag


def test_readiness_is_published_late_in_order_and_the_same_way_for_the_same_seed():
    """A success from before a drain comes after it; what a pod said first is published first."""
    waits: list[float] = []
    for _ in range(2):
        one = Lag(1.0, 5.0, seed=3).of(0, waits.append)
        assert not one.published(ready=True, now=10.0)
        (first,) = waits[-1:]
        assert 1.0 <= first <= 5.0
        assert not one.published(ready=False, now=10.1)
        assert one.published(ready=False, now=10.0 + first)
        assert not one.published(ready=False, now=10.1 + waits[-1])
    assert waits[:2] == waits[2:]
    assert Lag().of(0, waits.append).published(ready=True, now=0.0)


def test_pods_are_published_in_any_order():
    """Each has delays of its own."""
    delays: list[float] = []
    for place in range(9):
        Lag(0.0, 10.0, seed=1).of(place, delays.append).published(ready=True, now=0.0)
    assert delays != sorted(delays)
    assert len(set(delays)) == 9
