"""The simulator of `benchmarks/autoscaler`: it repeats exactly, loses no job, and its KEDA is as measured.

And what `decide()` comes to in it: a target that a trace lets it meet is met. Virtual time, so no machine is too slow.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
from benchmarks import autoscaler
from benchmarks._autoscaler_keda import Keda, KedaSettings, calibration
from benchmarks._autoscaler_ours import Ours
from benchmarks._autoscaler_ticks import run_ticks
from benchmarks._autoscaler_traces import Trace, traces
from benchmarks._autoscaler_world import Account


@cache
def made() -> dict[str, Trace]:
    """All traces by name; made when first used, because they take a second."""
    return {trace.name: trace for trace in traces(1)}


def ours(trace: Trace) -> tuple[autoscaler.Result, Account]:
    return autoscaler.run(trace, Ours(autoscaler.policy()), 1)


@pytest.mark.parametrize("name", ["burst", "step", "scheduled batch"])
def test_every_job_starts_once_and_within_the_target(name):
    """With the defaults of a JobQueue, pods that need 3 to 7 s to serve, and jobs that nothing is known of."""
    result, account = ours(made()[name])
    assert len(account.waits) == len(made()[name].jobs)
    assert result.wait_max <= autoscaler.LATENCY_SECONDS
    assert result.at_risk == 0


def test_a_run_repeats_exactly():
    """Everything that is drawn comes from the run's number."""
    assert ours(made()["burst"])[0] == ours(made()["burst"])[0]


def test_nothing_is_scaled_while_the_database_is_away():
    """From minute 5 to minute 10 of the outage the replicas stay as they are, and the trace ends with every job run."""
    trace = made()["outage"]
    ((starts, ends),) = trace.outages
    result, account = ours(trace)
    assert [at for at, _ in account.replicas if starts <= at < ends] == []
    assert result.at_risk == 0


def test_a_steady_queue_settles():
    """After the first two minutes the replica count changes direction no more."""
    _, account = ours(made()["steady"])
    later = [count for at, count in account.replicas if at > 240]
    assert autoscaler.changes_of_direction(later) == 0


def test_the_model_of_keda_is_the_one_that_was_measured():
    """Median times to the tenth and hundredth pod object, within a tenth; the first one's are those of the trials."""
    for name, pod, (least, median, maximum), (_, modelled, _) in calibration(runs=60):
        assert least <= modelled <= maximum, (name, pod)
        assert pod == 1 or modelled == pytest.approx(median, rel=0.1), (name, pod)


def test_the_model_of_keda_runs_every_job_too():
    """It is slower, not lossy: its workers are given the time to finish."""
    trace = made()["burst"]
    settings = KedaSettings(name="KEDA", jobs_per_replica=autoscaler.SLOTS)
    result, account = autoscaler.run(trace, Keda(settings, maximum=100, rng=random.Random(1)), 1)
    assert len(account.waits) == len(trace.jobs)
    assert result.wait_p95 > autoscaler.LATENCY_SECONDS


def test_the_first_job_of_a_tick_starts_within_a_second_although_pods_need_20_seconds():
    """From zero at each of six ticks, with start-up times of 16 to 24 s; and nothing is kept for the next tick."""
    for number in range(1, 6):
        known = run_ticks(autoscaler.policy(), number, known=True)
        assert max(known.first) <= 1.0
        assert set(known.left) == {0}


def test_without_the_ticks_the_same_jobs_wait_for_a_start():
    """The bar above can be missed: nothing but the knowledge of the ticks differs."""
    unknown = run_ticks(autoscaler.policy(), 1, known=False)
    assert min(unknown.first) >= 16.0
