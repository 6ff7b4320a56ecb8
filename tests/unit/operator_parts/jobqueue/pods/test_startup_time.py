"""The learnt start-up time: what counts as a start, what does not, and how the mean follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.jobqueue.pods.startup_time import MAX_SECONDS, MIN_SECONDS, StartupTimeEstimator


def started(took: float, starts: StartupTimeEstimator | None = None, uid: str = "a") -> StartupTimeEstimator:
    """A pod that was first seen at 10 and served after `took` seconds."""
    found = starts or StartupTimeEstimator()
    found.observe([(uid, False)], 10.0)
    found.observe([(uid, True)], 10.0 + took)
    return found


def test_the_first_start_is_the_estimate():
    """Until one was seen there is none."""
    assert StartupTimeEstimator().seconds is None
    assert started(4.0).seconds == 4.0


def test_a_pod_that_served_already_when_it_was_first_seen_says_nothing():
    """A new operator finds pods whose start it did not see."""
    found = StartupTimeEstimator()
    found.observe([("a", True)], 10.0)
    found.observe([("a", False)], 11.0)
    found.observe([("a", True)], 15.0)
    assert found.seconds is None


def test_a_pod_that_turns_unready_and_ready_again_has_started_once():
    """A drain that was called back is no start."""
    found = started(4.0)
    found.observe([("a", False)], 50.0)
    found.observe([("a", True)], 90.0)
    assert found.seconds == 4.0


def test_a_pod_that_never_served_is_not_counted_and_its_namesake_starts_from_zero():
    """It went before it served; what comes under its uid later was never seen to wait."""
    found = StartupTimeEstimator()
    found.observe([("a", False)], 10.0)
    found.observe([], 20.0)
    found.observe([("a", True)], 30.0)
    assert found.seconds is None


def test_a_start_that_took_longer_than_ten_minutes_is_not_believed():
    """Somebody had to mend something."""
    assert started(MAX_SECONDS + 1).seconds is None


def test_the_mean_follows_the_newest_starts():
    """After ten starts of the new length hardly anything is left of the old one."""
    found = started(1.0)
    for number in range(10):
        started(9.0, found, uid=f"p{number}")
    assert found.seconds == pytest.approx(9.0, abs=0.3)


@given(st.lists(st.floats(min_value=0, max_value=2000), min_size=1, max_size=20))
def test_the_estimate_stays_within_its_bounds(takes: list[float]):
    """Whatever is seen: none at all, or between the shortest and the longest start that is believed."""
    found = StartupTimeEstimator()
    for number, took in enumerate(takes):
        started(took, found, uid=str(number))
        assert found.seconds is None or MIN_SECONDS <= found.seconds <= MAX_SECONDS
