"""What a stabilisation window remembers is the extreme of what was wanted in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.scaling.stabilization import falling, rising
from penstock.scaling.types import ReplicaSample

WANTED = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), min_size=1, max_size=20)


@given(WANTED, st.integers(1, 60))
def test_the_first_mark_is_the_extreme_of_the_window(wanted, window):
    """Against the definition: each count is wanted from its decision until the next."""
    now = 0
    high: tuple[ReplicaSample, ...] = ()
    low: tuple[ReplicaSample, ...] = ()
    since: list[tuple[int, int, int]] = []
    for pause, count in wanted:
        if since:
            started, _, before = since[-1]
            since[-1] = (started, now + pause, before)
        now += pause
        since.append((now, now, count))
        high, low = falling(high, now, count, window), rising(low, now, count, window)
        lately = [value for _, until, value in since if until > now - window]
        assert high[0].replicas == max(lately)
        assert low[0].replicas == min(lately)


def test_a_window_of_no_length_remembers_only_now():
    """Zero switches stabilisation off."""
    assert falling((ReplicaSample(0.0, 9),), 1.0, 2, 0) == (ReplicaSample(1.0, 2),)
    assert rising((ReplicaSample(0.0, 1),), 1.0, 2, 0) == (ReplicaSample(1.0, 2),)
