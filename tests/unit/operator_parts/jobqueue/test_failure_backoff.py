"""What cannot be done rests for as long as it was said, also after something else has gone well or wrong meanwhile."""

from __future__ import annotations

import asyncio
import copy
import math
import time
from typing import Any, cast

import pytest

from penstock_operator.errors import ClusterError, Forbidden, NotFound, Refused, Unreachable
from penstock_operator.jobqueue.failure_backoff import REST_SECONDS, SHORT_REST_SECONDS
from penstock_operator.jobqueue.objects.owned_objects import Monitoring, OwnedObjects
from penstock_operator.jobqueue.observation import QueueSample
from penstock_operator.kube.cache import Cache
from penstock_operator.kube.client import Cluster
from penstock_operator.loops.scheduled_queue import MOVING_SECONDS, ScheduledQueue, pause_until_next
from tests.unit.operator_parts.loops.quiet_loop import Quiet, loop_of
from tests.unit.operator_parts.objects import jobqueue


class Storing:
    """An API server that keeps objects, and answers writes of a kind with the error that is set for it."""

    def __init__(self) -> None:
        self.bulk_gate = asyncio.Semaphore(8)
        self.objects: dict[str, Any] = {}
        self.errors: dict[str, ClusterError] = {}
        self.version = 0

    async def create(self, manifest: Any, *, manager: str) -> Any:
        return self._write(manifest)

    async def apply(self, manifest: Any, *, manager: str) -> Any:
        return self._write(manifest)

    async def patch_metadata(self, manifest: Any, change: Any) -> Any:
        return self._write({"kind": manifest["kind"], "metadata": change})

    async def find(self, kind: str, *_: str) -> Any:
        return copy.deepcopy(self.objects.get(kind))

    def _write(self, change: Any) -> Any:
        kind = change["kind"]
        if kind in self.errors:
            raise self.errors[kind]
        self.version += 1
        current = self.objects.get(kind, {"metadata": {"uid": kind, "generation": 0}, "spec": {}})
        spec = {"replicas": 0, **current["spec"], **change.get("spec", {})}
        metadata = {**current["metadata"], **change["metadata"], "resourceVersion": str(self.version)}
        metadata["generation"] = current["metadata"]["generation"] + (spec != current["spec"])
        metadata["managedFields"] = [{"manager": "penstock-template", "operation": "Apply", "fieldsV1": {}}]
        self.objects[kind] = {**current, **change, "metadata": metadata, "spec": spec}
        return copy.deepcopy(self.objects[kind])


def made(server: Storing, monitoring: Monitoring | None = None) -> OwnedObjects:
    cache = Cache(lambda *_: None)
    return OwnedObjects(cluster=cast("Cluster", server), cache=cache, monitoring=monitoring or Monitoring())


def left(children: OwnedObjects) -> float:
    return children.resting_until - time.monotonic()


async def test_a_refused_change_that_was_taken_back_rests_no_more():
    """Its pause lay in the past for as long as another child failed, and the queue was sampled without pause."""
    server = Storing()
    children = made(server)
    await children.ensure(jobqueue())
    server.errors = {"Deployment": Unreachable("no answer")}
    with pytest.raises(Unreachable):
        await children.ensure(jobqueue(worker__labels={"a": "b"}))
    assert 0 < left(children) <= SHORT_REST_SECONDS
    server.errors = {"PodDisruptionBudget": Forbidden("no", status=403)}
    server.objects.pop("PodDisruptionBudget")
    children.cache.others["PodDisruptionBudget"].gone("PodDisruptionBudget")
    await children.ensure(jobqueue())
    assert isinstance(children.problem, Forbidden)
    assert REST_SECONDS / 2 < left(children) <= REST_SECONDS


async def test_a_refused_budget_does_not_hurry_a_refused_template():
    """It is not tried before the Deployment is as it should be."""
    server = Storing()
    children = made(server)
    server.errors = {"PodDisruptionBudget": Unreachable("no answer")}
    await children.ensure(jobqueue())
    assert 0 < left(children) <= SHORT_REST_SECONDS
    server.errors["Deployment"] = Refused("bad template", status=422)
    with pytest.raises(Refused):
        await children.ensure(jobqueue(worker__labels={"a": "b"}))
    assert REST_SECONDS / 2 < left(children) <= REST_SECONDS


@pytest.mark.parametrize("error", [Unreachable("no answer"), NotFound("no such kind", status=404)])
async def test_a_monitor_that_is_not_wanted_any_more_has_no_pause(error: ClusterError):
    """Its definition has gone after a write of it failed."""
    server, monitoring = Storing(), Monitoring(labels={})
    children = made(server, monitoring)
    server.errors = {"PodMonitor": error}
    await children.ensure(jobqueue())
    assert left(children) > 0
    monitoring.labels = None
    await children.ensure(jobqueue())
    assert children.problem is None
    assert children.resting_until == math.inf


async def test_a_time_that_has_passed_never_makes_a_loop_spin():
    """Whatever a queue says that it is due at."""

    class Late:
        settled, due_at, startup_seconds = True, time.monotonic() - 5.0, None

    member = ScheduledQueue(jobqueue())
    loop = loop_of(Late)
    loop._reconcilers[member.queue.uid] = cast("Any", Late())
    loop._reconciled[member.queue.uid] = (member, QueueSample())
    assert loop._is_due(member, QueueSample())
    assert await pause_until_next(cast("Any", Quiet()), {}, [member], loop._reconcilers) == MOVING_SECONDS
