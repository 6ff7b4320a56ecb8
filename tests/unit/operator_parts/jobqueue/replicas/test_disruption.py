"""Busy pods are protected from node autoscalers, idle ones are not, and short jobs cause few writes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from penstock_operator.errors import Forbidden, Refused
from penstock_operator.jobqueue.pods.worker_pods import PodWorker
from penstock_operator.jobqueue.replicas.disruption import BUSY_SECONDS, IDLE_SECONDS, BusyPods, Disruption
from penstock_operator.kube.cache import Cache
from penstock_operator.kube.client import Cluster
from penstock_operator.resources.resource import PROTECTED, PROTECTION_MANAGER, Pod, Protection
from tests.unit.operator_parts.objects import jobqueue, pod_object


def pod(manager: str = "", names: Any = PROTECTED) -> Pod:
    """The pod `a`; with the annotations if somebody has set them."""
    owned: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in names}}}
    metadata = {
        "annotations": {name: PROTECTED[name] for name in names} if manager else {},
        "managedFields": [{"manager": manager, "fieldsV1": owned}] if manager else [],
    }
    return Pod.read(pod_object("a", metadata=metadata))


def worker(in_flight: int, state: str = "running") -> dict[str, PodWorker]:
    return {"a": PodWorker(id=1, pod="a", state=state, in_flight=in_flight)}


BARE, MINE, THEIRS = pod(), pod(PROTECTION_MANAGER), pod("kube-controller-manager")


def test_who_has_set_the_annotations_is_read_from_the_managed_fields():
    """One that the template has comes with the pod from its controller."""
    found = (BARE.protection, MINE.protection, THEIRS.protection)
    assert found == (Protection.NONE, Protection.OURS, Protection.FOREIGN)
    assert pod("kubectl", names=["karpenter.sh/do-not-disrupt"]).protection is Protection.FOREIGN


def test_a_pod_is_protected_soon_after_it_was_busy_and_no_longer_than_it_idles():
    """Set after a second, removed after 45."""
    busy = BusyPods()
    assert busy.changes([BARE], worker(2), 100.0) == []
    assert busy.changes([BARE], worker(2), 100.0 + BUSY_SECONDS) == [(BARE, True)]
    assert busy.changes([MINE], worker(2), 300.0) == []
    assert busy.changes([MINE], worker(0), 301.0) == []
    assert busy.changes([MINE], worker(0), 300.9 + IDLE_SECONDS) == []
    assert busy.changes([MINE], worker(0), 301.0 + IDLE_SECONDS) == [(MINE, False)]


def test_short_jobs_do_not_make_it_flap():
    """A pod that is busy every other second keeps what it has."""
    busy = BusyPods()
    for second in range(200):
        assert busy.changes([MINE], worker(second % 2), float(second)) == []


@pytest.mark.parametrize("state", ["cordoned", "draining"])
def test_a_pod_that_finishes_its_jobs_before_it_goes_stays_protected(state):
    """Until it has drained: then it goes at once."""
    busy = BusyPods()
    assert busy.changes([MINE], worker(1, state), 1.0) == []
    assert busy.changes([MINE], worker(0, "drained"), 2.0) == [(MINE, False)]


def test_a_worker_that_is_lost_protects_nothing():
    """Its pod may go."""
    busy = BusyPods()
    assert busy.changes([MINE], {}, 1.0) == []
    assert busy.changes([MINE], {}, 1.0 + IDLE_SECONDS) == [(MINE, False)]


def test_annotations_of_others_are_left_alone():
    """Those of the template are static, for pods that are never to be moved."""
    busy = BusyPods()
    for second in (0.0, 10.0, 1000.0):
        assert busy.changes([THEIRS], worker(1), second) == []
        assert busy.changes([THEIRS], worker(0, "drained"), second) == []


def test_pods_that_are_gone_are_forgotten():
    """A queue that lives for years remembers none of them."""
    busy = BusyPods()
    busy.changes([BARE], worker(1), 1.0)
    busy.changes([], {}, 2.0)
    assert busy == BusyPods()


class Answering:
    """An API server that answers each annotation of a pod with the error that is set for it."""

    def __init__(self, **errors: Exception) -> None:
        self.bulk_gate, self.errors = asyncio.Semaphore(8), errors
        self.tries: list[str] = []

    async def protect(self, pod: Pod, *, protect: bool) -> Any:
        self.tries.append(pod.name)
        if pod.name in self.errors:
            raise self.errors[pod.name]
        return pod_object(pod.name)


async def samples(server: Answering, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Ten samples of two busy pods; the lines of the log."""
    cache = Cache(lambda *_: None)
    for name in ("a", "b"):
        cache.pods.observe(pod_object(name))
    disruption = Disruption(cluster=cast("Cluster", server), cache=cache)
    workers = {name: PodWorker(id=1, pod=name, state="running", in_flight=1) for name in ("a", "b")}
    with caplog.at_level(logging.INFO):
        for second in range(10):
            assert disruption.observe(jobqueue(), workers, float(second)) == (second > 0)
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
    return [line for line in caplog.messages if "not written" in line]


async def test_a_right_that_is_missing_is_met_once_a_pause(caplog: pytest.LogCaptureFixture):
    """Not at every sample, nor for every pod."""
    server = Answering(a=Forbidden("no", status=403), b=Forbidden("no", status=403))
    assert len(await samples(server, caplog)) == 1
    assert server.tries == ["a"]


async def test_a_pod_that_is_refused_rests_alone(caplog: pytest.LogCaptureFixture):
    """The next ones get theirs."""
    server = Answering(a=Refused("denied by a policy", status=422))
    assert len(await samples(server, caplog)) == 1
    assert server.tries.count("a") == 1
    assert "b" in server.tries
