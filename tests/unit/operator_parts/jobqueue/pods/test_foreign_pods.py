"""A pod that carries a JobQueue's label and is not its Deployment's is neither counted nor removed."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_health import unowned_pods
from penstock_operator.jobqueue.pods.worker_pods import PodWorker, members
from penstock_operator.jobqueue.replicas.replica_plan import ReplicaPlan, plan_replicas
from penstock_operator.jobqueue.replicas.scale_down import plan_scale_down
from penstock_operator.kube.cache import Cache
from tests.unit.operator_parts.objects import deployment, jobqueue, pod_object, replica_set

SET = replica_set("emails-worker-5d8f7c")
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "emails-worker-1", "uid": "uid-job", "controller": True}
FOREIGN = {
    "nobody's": None,
    "a Job's": [JOB],
    "a replica set's of another group": [{**SET, "apiVersion": "shop.dev/v1"}],
    "a replica set's that only owns it": [{**SET, "controller": False}],
    "a replica set's of another name": [replica_set("emails-5d8f7c")],
    "a replica set's of a Deployment with a longer name": [replica_set("emails-worker-worker-5d8f7c")],
    "a replica set's without a hash": [replica_set("emails-worker-")],
}


def cached(*pods: dict[str, Any]) -> Cache:
    cache = Cache(lambda _, __: None)
    for pod in pods:
        cache.pods.observe(pod)
    return cache


def stranger(owners: Any, **changes: Any) -> dict[str, Any]:
    """A pod with the label, not ready."""
    return pod_object("stranger", ready=False, metadata={"ownerReferences": owners, **changes})


@pytest.mark.parametrize("owners", FOREIGN.values(), ids=FOREIGN.keys())
def test_only_pods_of_the_deployments_replica_sets_are_the_jobqueues(owners: Any):
    """Also among those that end: they would take connections of its budget."""
    cache = cached(pod_object("a"), stranger(owners))
    assert [one.name for one in cache.pods_of(jobqueue())] == ["a"]
    assert cache.unowned_pods_of(jobqueue()) == ["stranger"]
    leaving = cached(stranger(owners, deletionTimestamp="2026-01-02T00:00:00Z"))
    assert not leaving.stopping_of(jobqueue())
    assert not leaving.gone_pods_of(jobqueue())
    assert not leaving.unowned_pods_of(jobqueue())


@pytest.mark.parametrize("owners", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_pod_neither_shrinks_nor_grows_the_fleet(owners: Any):
    """The replica set does not have it: one replica less, or more, would be one of the busy ones."""
    cache = cached(pod_object("a"), pod_object("b"), stranger(owners))
    rows = {name: PodWorker(id=id_, pod=name, state="running", in_flight=1) for id_, name in enumerate("ab", 1)}
    found = members(cache.pods_of(jobqueue()), rows, {}, {"uid-stranger": Seen(waiting=600.0, unready=600.0)})
    there = deployment(2)
    down = plan_scale_down(ReplicaPlan(target=1), deployment=there, members=found, going=frozenset())
    assert (down.scale_to, list(down.removable)) == (None, [])
    assert plan_replicas(2, there, found, connections_allow=None).target == 2


def test_a_pod_that_is_orphaned_is_reported_at_once():
    """Its owner is part of what matters about it."""
    reported: list[str] = []
    cache = Cache(lambda _, name: reported.append(name))
    cache.pods.observe(pod_object("a"))
    cache.pods.observe(pod_object("a", version="2", metadata={"ownerReferences": []}))
    assert reported == ["emails", "emails"]


def test_foreign_pods_are_named_with_what_to_do():
    """The first, and how many more."""
    assert unowned_pods([]) == ()
    (one,) = unowned_pods(["a"])
    assert one.startswith("Pod a has the label penstock.dev/jobqueue of this JobQueue")
    assert "Remove the label" in one
    assert unowned_pods(["a", "b", "c"])[0].startswith("Pod a (and 2 more) has the label")
