"""Values counted by upper bound: one by one or many at once, with the same result."""

from __future__ import annotations

import random

from penstock.runtime.observe.distribution import Distribution

BOUNDS = (0.1, 1.0, 10.0)


def test_a_value_counts_at_the_first_bound_that_is_not_below_it():
    """Bounds are inclusive, as Prometheus has them; what is above all counts as infinite."""
    counted = Distribution(BOUNDS)
    for value in (0.0, 0.1, 0.11, 1.0, 9.9, 10.1):
        counted.add(value)
    assert counted.buckets() == (
        [("0.1", 2.0), ("1.0", 4.0), ("10.0", 5.0), ("+Inf", 6.0)],
        0.0 + 0.1 + 0.11 + 1 + 9.9 + 10.1,
    )


def test_nothing_counted_is_zero_at_every_bound():
    """A scrape before the first job."""
    assert Distribution(BOUNDS).buckets() == ([("0.1", 0.0), ("1.0", 0.0), ("10.0", 0.0), ("+Inf", 0.0)], 0.0)


def test_many_values_at_once_count_as_one_by_one():
    """In any order, on the bounds too, and added to what was there."""
    rng = random.Random(1)
    single, many = Distribution(BOUNDS), Distribution(BOUNDS)
    for size in (0, 1, 7, 200):
        values = [rng.choice([0.1, 1.0, 10.0, rng.uniform(0, 20)]) for _ in range(size)]
        for value in sorted(values):
            single.add(value)
        many.add_all(list(values))
    assert many.buckets()[0] == single.buckets()[0]
    assert abs(many.buckets()[1] - single.buckets()[1]) < 1e-6
