"""Rates from samples of a queue."""

from __future__ import annotations

import pytest

from penstock.scaling.sampler import Sampler
from penstock.store import QueueState
from tests.unit.jobqueue.queue_samples import queue_state


def state(
    ready: int = 0, in_flight: int = 0, done: dict[int, int] | None = None, *, capped: bool = False
) -> QueueState:
    workers = [{"id": id_, "done": count, "concurrency": 5, "in_flight": 0} for id_, count in (done or {}).items()]
    counts = {"ready": ready, "deferred": 2, "due_soon": 1, "in_flight": in_flight, "dead": 3}
    return queue_state(**counts, capped=capped, oldest=4.0, workers=workers)


def test_the_first_sample_has_counts_and_no_rates() -> None:
    """Nothing is known yet, which is not the same as nothing happening."""
    seen = Sampler().add(state(ready=7, in_flight=2, done={1: 100}), now=10.0)
    assert (seen.ready, seen.in_flight, seen.deferred, seen.due_soon, seen.dead) == (7, 2, 2, 1, 3)
    assert (seen.oldest_ready_seconds, seen.sampled_at) == (4.0, 10.0)
    assert (seen.arrivals_per_second, seen.completions_per_second, seen.mean_service_seconds) == (None, None, None)


def test_arrivals_are_what_was_added_and_what_went() -> None:
    """10 s: 40 ended, 20 more are there, so 60 came."""
    sampler = Sampler()
    sampler.add(state(ready=0, done={1: 100}), now=0.0)
    seen = sampler.add(state(ready=20, done={1: 140}), now=10.0)
    assert seen.completions_per_second == pytest.approx(4.0)
    assert seen.arrivals_per_second == pytest.approx(6.0)


def test_service_time_is_busy_slots_over_attempts_ended() -> None:
    """Five slots busy for ten seconds ended 100 attempts: half a second each; unstarted claims do not count."""
    sampler = Sampler()
    sampler.add(state(in_flight=5, done={1: 0}), now=0.0)
    sampler.add(state(in_flight=100, done={1: 50}), now=5.0)
    seen = sampler.add(state(in_flight=5, done={1: 100}), now=10.0)
    assert seen.mean_service_seconds == pytest.approx(0.5)


def test_a_worker_that_leaves_takes_nothing_away_and_a_new_one_adds() -> None:
    """The sum of the rows falls; what ended does not."""
    sampler = Sampler()
    sampler.add(state(done={1: 100, 2: 50}), now=0.0)
    sampler.add(state(done={1: 110}), now=5.0)
    seen = sampler.add(state(done={1: 110, 3: 5}), now=10.0)
    assert seen.completions_per_second == pytest.approx(1.5)
    assert sampler.finished == 15


def test_the_window_forgets() -> None:
    """A burst long ago is no rate now; the service time stays known."""
    sampler = Sampler(window_seconds=10)
    sampler.add(state(in_flight=5, done={1: 0}), now=0.0)
    for now in range(5, 40, 5):
        seen = sampler.add(state(in_flight=0, done={1: 50}), now=float(now))
    assert seen.completions_per_second == seen.arrivals_per_second == 0.0
    assert seen.mean_service_seconds == pytest.approx(0.25)


def test_jobs_too_short_to_be_seen_running_have_a_service_time_all_the_same() -> None:
    """A millisecond, so that a deep queue of them does not sample like one of unknown jobs."""
    sampler = Sampler()
    sampler.add(state(ready=1000, done={1: 0}), now=0.0)
    assert sampler.add(state(done={1: 1000}), now=5.0).mean_service_seconds == 0.001


def test_capped_counts_give_no_rates() -> None:
    """A difference of two caps says nothing."""
    sampler = Sampler()
    sampler.add(state(ready=100, done={1: 0}, capped=True), now=0.0)
    seen = sampler.add(state(ready=100, done={1: 10}, capped=True), now=10.0)
    assert seen.arrivals_per_second is None


def test_counts_that_are_reported_late_do_not_bend_the_service_time() -> None:
    """Five slots busy for 10 s with jobs of 1 s, reported at 5 s and, long after, at 15 s: one second each."""
    sampler = Sampler()
    sampler.add(state(ready=50, done={1: 0}), now=0.0)
    made = [sampler.add(state(in_flight=5, done={1: 0 if at < 5 else 25}), now=float(at)) for at in range(1, 10)]
    assert [seen.mean_service_seconds for seen in made[:4]] == [None] * 4
    assert made[-1].mean_service_seconds == pytest.approx(0.9)  # the first sample found nothing running
    sampler.add(state(in_flight=5, done={1: 25}), now=10.0)
    for at in range(11, 15):
        sampler.add(state(done={1: 25}), now=float(at))
    assert sampler.add(state(done={1: 50}), now=15.0).mean_service_seconds == pytest.approx(1.0)


def test_what_has_left_the_window_counts_as_twenty_attempts() -> None:
    """Jobs of 1 s before; then five that took 2 s each: (20 * 1 + 5 * 2) / 25."""
    sampler = Sampler(window_seconds=10)
    sampler.add(state(in_flight=5, done={1: 0}), now=0.0)
    sampler.add(state(in_flight=5, done={1: 25}), now=5.0)
    sampler.add(state(done={1: 25}), now=5.0)
    sampler.add(state(done={1: 25}), now=20.0)
    sampler.add(state(in_flight=5, done={1: 25}), now=20.0)
    assert sampler.add(state(in_flight=5, done={1: 30}), now=22.0).mean_service_seconds == pytest.approx(1.2)
