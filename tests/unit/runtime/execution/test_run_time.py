"""The mean run time: unknown counts as long, and a change of the jobs shows within some tens of them."""

from __future__ import annotations

import pytest

from penstock.runtime.execution.run_time import INSTANT_SECONDS, SHORT_SECONDS, SMOOTHING, RunTimeEstimate


def after(*seconds: float) -> RunTimeEstimate:
    estimate = RunTimeEstimate()
    for each in seconds:
        estimate.add(each)
    return estimate


def test_nothing_is_short_before_the_first_attempt_has_finished():
    """Claiming ahead of an unknown run time could keep jobs from idle workers."""
    assert (after().is_short, after().is_instant) == (False, False)


@pytest.mark.parametrize(
    ("seconds", "short", "instant"),
    [
        (0.0, True, True),
        (INSTANT_SECONDS * 0.99, True, True),
        (INSTANT_SECONDS, True, False),
        (SHORT_SECONDS * 0.99, True, False),
        (SHORT_SECONDS, False, False),
        (3600.0, False, False),
    ],
)
def test_the_first_run_time_is_the_mean(seconds, short, instant):
    """Both limits are exclusive."""
    assert (after(seconds).is_short, after(seconds).is_instant) == (short, instant)


def test_a_later_run_time_moves_the_mean_by_a_tenth_of_the_difference():
    """One long job among instant ones makes the mean long, because it occupies a slot for as long."""
    below = (SHORT_SECONDS - 1e-6) / SMOOTHING
    assert after(0.0, below).is_short
    assert not after(0.0, below + 1e-4).is_short


def test_jobs_that_became_short_count_as_short_after_some_tens():
    """The mean forgets; a mean over all time would never."""
    assert not after(1.0, *[0.0] * 20).is_short
    assert after(1.0, *[0.0] * 40).is_short
