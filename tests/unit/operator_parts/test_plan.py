"""The pure plan of a reconciliation: one observation in, the same actions out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.scaling import Bound, History
from penstock_operator.jobqueue.observation import Observation, QueueSample
from penstock_operator.jobqueue.plan import plan
from penstock_operator.jobqueue.pods.worker_pods import WorkerPod
from penstock_operator.resources.resource import Deployment
from tests.unit.jobqueue.examples import snapshot
from tests.unit.jobqueue.queue_samples import queue_state
from tests.unit.operator_parts.jobqueue.pods.test_worker_pods import LOST, serving
from tests.unit.operator_parts.objects import deployment, jobqueue

STATE = queue_state()
CALM: dict[str, Any] = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}


def observed(
    *,
    rules: dict[str, Any] | None = None,
    ready: int = 0,
    in_flight: int = 0,
    there: Deployment | None = None,
    members: list[WorkerPod] | None = None,
    sampled: bool = True,
    **changes: Any,
) -> Observation:
    seen: dict[str, Any] = {
        "queue": jobqueue(**(rules or CALM)),
        "now": 0.0,
        "wall_time": 1_000_000.0,
        "sample": QueueSample(state=STATE if sampled else None, connected=sampled),
        "snapshot": snapshot(ready=ready, in_flight=in_flight) if sampled else None,
        "deployment": there,
        "members": tuple(members or ()),
        "waiting": {},
        "history": None if there is None else History.starting(there.replicas, now=-1000.0),
    }
    return Observation(**(seen | changes))


@pytest.mark.parametrize(
    ("seen", "desired", "up", "down", "cordoned"),
    [
        pytest.param(observed(ready=1, there=deployment(0)), 1, 1, None, 0, id="a ready job starts the first replica"),
        pytest.param(observed(there=deployment(0)), 0, None, None, 0, id="an empty queue at zero needs nothing"),
        pytest.param(
            observed(ready=20, there=deployment(1), members=serving(1)), 4, 4, None, 0, id="a backlog adds replicas"
        ),
        pytest.param(
            observed(there=deployment(2), members=serving(2)), 0, None, None, 2, id="an idle queue cordons all workers"
        ),
        pytest.param(
            observed(ready=5, there=deployment(2), members=serving(2)), 1, None, None, 1, id="one of two is cordoned"
        ),
        pytest.param(
            observed(there=deployment(2), members=serving(2), sampled=False),
            2,
            None,
            None,
            0,
            id="without a sample nothing changes",
        ),
        pytest.param(
            observed(ready=10, there=deployment(2), members=[*serving(1), LOST]),
            2,
            3,
            None,
            0,
            id="a lost worker is replaced",
        ),
    ],
)
def test_an_observation_determines_the_actions(
    seen: Observation, desired: int, up: int | None, down: int | None, cordoned: int
):
    """Replicas up at once; down only by cordoning first."""
    made = plan(seen)
    assert made is not None
    steps = made.scale_down
    assert (made.decision.desired, made.scale_up_to) == (desired, up)
    assert (None if steps is None else steps.scale_to) == down
    assert (0 if steps is None else len(steps.cordon)) == cordoned
    assert plan(seen) == made


def test_without_a_deployment_there_is_nothing_to_scale():
    """It could not be written; the status says why."""
    assert plan(observed(ready=9)) is None


def test_without_a_sample_nobody_is_asked_to_leave():
    """Who holds jobs is unknown."""
    made = plan(observed(there=deployment(3), members=serving(3), sampled=False))
    assert made is not None
    assert made.scale_down is None
    assert made.decision.bound is Bound.SIGNAL_LOST


def test_exact_counts_decide_who_leaves():
    """Reports lag by a third of a lease; a worker that the counts do not name holds nothing."""
    seen = observed(ready=5, there=deployment(2), members=serving(2))
    first, second = (one.worker.id for one in seen.members if one.worker is not None)
    for busy, idle in ((first, second), (second, first)):
        made = plan(seen.with_jobs_in_flight({busy: 3}))
        assert made is not None
        assert made.scale_down is not None
        assert made.scale_down.cordon == (idle,)


def test_a_replacement_is_explained():
    """The result comes first, then the extra replica."""
    made = plan(observed(ready=10, there=deployment(2), members=[*serving(1), LOST]))
    assert made is not None
    assert made.decision.explanation.startswith("2 replicas: ")
    assert made.decision.explanation.endswith("1 extra replica stands in for a pod that runs no jobs.")


@pytest.mark.parametrize(
    ("scaled", "bound"),
    [({"from": 1, "to": 2, "time": "1970-01-12T13:46:40Z"}, Bound.COOLDOWN), ({}, Bound.STABILIZATION)],
)
def test_a_new_operator_takes_over_the_replicas_it_finds(scaled: dict[str, Any], bound: Bound):
    """They count as wanted until now, and as added when the status says."""
    windows = {"stabilizationWindowSeconds": 0 if scaled else 60, "cooldownSeconds": 60}
    seen = observed(rules={"scaling__scaleDown": windows}, there=deployment(2), members=serving(2), history=None)
    seen = replace(seen, queue=jobqueue(status={"lastScale": scaled}, scaling__scaleDown=windows))
    made = plan(seen)
    assert made is not None
    assert (made.decision.desired, made.decision.bound) == (2, bound)
