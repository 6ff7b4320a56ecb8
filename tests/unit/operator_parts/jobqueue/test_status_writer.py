"""A status that cannot be written costs one try a pause and one line of the log; what can be written of it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from penstock_operator.errors import ClusterError, Forbidden
from penstock_operator.jobqueue.failure_backoff import REST_SECONDS
from penstock_operator.jobqueue.status import OBSERVE_SECONDS, SPREAD_SECONDS, stamp
from penstock_operator.jobqueue.status_writer import TOGETHER_SECONDS, StatusWriter
from penstock_operator.jobqueue.unknown_fields import undeclared, without
from penstock_operator.kube.api_errors import error_of
from penstock_operator.kube.cache import Cache
from penstock_operator.kube.client import Cluster
from penstock_operator.kube.priority_gate import PriorityGate
from penstock_operator.resources.conditions import ObservedState
from penstock_operator.resources.resource import JobQueue
from tests.unit.jobqueue.examples import manifest
from tests.unit.operator_parts.objects import jobqueue

WHERE = "failed to create typed patch object (shop/emails; penstock.dev/v1alpha1, Kind=JobQueue): "
FORBIDDEN = Forbidden("jobqueues.penstock.dev is forbidden: cannot patch jobqueues/status", status=403)


class Statuses:
    """An API server that takes statuses, unless `judge` has an error for one, and keeps all but the `pruned` fields."""

    def __init__(self, judge: Callable[[Any], ClusterError | None] = lambda _: None, *, pruned: str = "") -> None:
        self.status_gate = asyncio.Semaphore(4)
        self.judge, self.pruned = judge, pruned
        self.tries: list[Any] = []
        self.kept: dict[str, Any] = {}

    async def apply_status(self, queue: JobQueue, status: Any) -> Any:
        self.tries.append(status)
        if (error := self.judge(status)) is not None:
            raise error
        self.kept = {key: value for key, value in status.items() if key != self.pruned}
        metadata = {
            "uid": queue.uid,
            "namespace": queue.namespace,
            "generation": queue.generation,
            "resourceVersion": "11",
        }
        return {**manifest(), "metadata": {**manifest()["metadata"], **metadata}, "status": self.kept}

    async def post_event(self, *_: Any, **__: Any) -> None:
        """Events are another claim."""


def writer_for(server: Statuses) -> StatusWriter:
    return StatusWriter(cluster=cast("Cluster", server), cache=Cache(lambda *_: None), gate=PriorityGate())


async def written(writer: StatusWriter, queue: JobQueue) -> bool:
    return await writer.write(queue, ObservedState(policy=queue.policy), busy=0, scaled=None)


async def test_a_status_that_is_refused_rests_and_is_logged_once(caplog: pytest.LogCaptureFixture):
    """The queue is at rest until then; a newer state of the JobQueue is tried at once."""
    server = Statuses(lambda _: FORBIDDEN)
    writer = writer_for(server)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await written(writer, jobqueue())
        assert len(server.tries) == 1
        assert REST_SECONDS / 2 < writer.due_at - time.monotonic() <= REST_SECONDS
        assert await written(writer, jobqueue(metadata={"resourceVersion": "12"}))
    assert len(server.tries) == 2
    assert [one.message for one in caplog.records if one.message == "status not written"] == [caplog.records[0].message]
    server.judge = lambda _: None
    assert await written(writer, jobqueue(metadata={"resourceVersion": "13"}))
    assert server.kept["observedAt"]


async def test_a_time_that_the_cluster_does_not_keep_is_no_reason_to_write_again():
    """A definition without `observedAt` may also drop it silently."""
    server = Statuses(pruned="observedAt")
    writer = writer_for(server)
    await written(writer, jobqueue())
    for _ in range(3):
        assert await written(writer, jobqueue(status=server.kept))
    assert len(server.tries) == 1
    assert OBSERVE_SECONDS - SPREAD_SECONDS - TOGETHER_SECONDS < writer.due_at - time.monotonic() <= OBSERVE_SECONDS


@pytest.mark.parametrize("unknown", [["observedAt"], ["observedAt", "drainingReplicas"], ["conditions"]])
async def test_an_older_definition_costs_the_fields_that_it_does_not_know(
    unknown: list[str], caplog: pytest.LogCaptureFixture
):
    """And nothing else of the status; the log names them once."""

    def judge(status: Any) -> ClusterError | None:
        found = [f".status.{name}: field not declared in schema" for name in unknown if name in status]
        text = found[0] if len(found) == 1 else "errors:" + "".join(f"\n  {one}" for one in found)
        return error_of(500, WHERE + text) if found else None

    server = Statuses(judge)
    writer = writer_for(server)
    with caplog.at_level(logging.WARNING):
        assert await written(writer, jobqueue())
        assert len(server.tries) == 2
        assert server.kept == {key: value for key, value in server.tries[0].items() if key not in unknown}
        assert await written(writer, jobqueue(status=server.kept))
    assert len(server.tries) == 2
    (line,) = caplog.records
    assert line.__dict__["fields"] == ", ".join(sorted(f"status.{name}" for name in unknown))


async def test_statuses_at_rest_fall_due_together():
    """A sample is of all queues of the database: five hundred are not to make one each."""
    dues = set()
    for number in range(200):
        queue = jobqueue(metadata={"uid": f"uid-{number}"}, status={"observedAt": stamp(time.time())})
        server = Statuses()
        writer = writer_for(server)
        await written(writer, queue)
        dues.add(writer.due_at)
        assert writer.due_at - time.monotonic() <= OBSERVE_SECONDS
    assert len(dues) <= SPREAD_SECONDS / TOGETHER_SECONDS + 2


def test_only_fields_of_the_status_that_are_named_are_dropped():
    """Of whatever depth; those of a list's elements are not found, and the refusal stands."""
    text = (
        f"{WHERE}errors:\n  .status.queue.dead: field not declared in schema\n  .status.x: field not declared in schema"
    )
    assert undeclared(text) == {"queue.dead", "x"}
    assert undeclared(f'{WHERE}.status.conditions[type="Ready"].x: field not declared in schema') == frozenset()
    assert undeclared(f"{WHERE}.spec.x: field not declared in schema") == frozenset()
    status = {"queue": {"dead": 1, "ready": 2}, "x": 1, "y": [1]}
    assert without(status, {"queue.dead", "x", "y.z"}) == {"queue": {"ready": 2}, "y": [1]}
    assert status["x"] == 1
