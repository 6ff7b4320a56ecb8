"""How many jobs a worker asks for: one per free slot while jobs are long, whole claims while they are short."""

from __future__ import annotations

import pytest

from penstock.runtime.execution.demand_policy import DemandPolicy

POLICY = DemandPolicy(concurrency=4, min_demand=10, max_demand=20)


@pytest.mark.parametrize(("outstanding", "asked"), [(0, 4), (1, 3), (3, 1), (4, 0), (5, 0), (20, 0)])
def test_long_jobs_are_asked_for_one_per_free_slot(outstanding, asked):
    """A job claimed ahead would wait here while another worker idles."""
    assert POLICY.to_ask(outstanding, prefetching=False) == asked


@pytest.mark.parametrize(("outstanding", "asked"), [(0, 20), (9, 11), (10, 10), (11, 0), (19, 0), (20, 0), (25, 0)])
def test_short_jobs_are_asked_for_up_to_the_maximum_once_the_minimum_is_reached(outstanding, asked):
    """One large claim costs less than many small ones."""
    assert POLICY.to_ask(outstanding, prefetching=True) == asked


@pytest.mark.parametrize(("outstanding", "asked"), [(0, 3), (2, 1), (3, 0)])
def test_a_maximum_below_the_concurrency_bounds_long_jobs_too(outstanding, asked):
    """`max_demand` is never exceeded, even if it leaves slots idle."""
    policy = DemandPolicy(concurrency=8, min_demand=0, max_demand=3)
    assert policy.to_ask(outstanding, prefetching=False) == asked


@pytest.mark.parametrize(("outstanding", "asked"), [(0, 4), (3, 1), (4, 0), (9, 0)])
def test_idle_slots_are_filled_whatever_the_minimum_says(outstanding, asked):
    """Never fewer than none: what is outstanding may exceed the slots."""
    assert POLICY.to_fill_slots(outstanding) == asked


@pytest.mark.parametrize("prefetching", [False, True])
def test_what_was_asked_for_never_exceeds_the_window(prefetching):
    """For every number of outstanding jobs."""
    window = 20 if prefetching else 4
    for outstanding in range(30):
        asked = POLICY.to_ask(outstanding, prefetching=prefetching)
        assert asked == 0 or outstanding + asked == window
