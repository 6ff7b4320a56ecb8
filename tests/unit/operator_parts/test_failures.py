"""Whatever reconciliation meets ends in a condition, one traceback and a pause; and costs the others nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.error_reasons import described, summary
from penstock_operator.errors import ClusterError, Conflict, Forbidden, NotFound, Refused, Unreachable
from penstock_operator.jobqueue.failure_backoff import MAX_REST_SECONDS, REST_SECONDS
from penstock_operator.jobqueue.objects.owned_objects import Monitoring
from penstock_operator.jobqueue.observation import QueueSample
from penstock_operator.jobqueue.reconciler import JobQueueReconciler
from penstock_operator.kube.cache import Cache
from penstock_operator.kube.client import Cluster
from penstock_operator.loops.scheduled_queue import ScheduledQueue, pause_until_next
from penstock_operator.metrics import OperatorMetrics, ReconcileResult
from penstock_operator.resources.conditions import ObservedState
from penstock_operator.resources.resource import JobQueue
from tests.unit.jobqueue.examples import manifest
from tests.unit.operator_parts.loops.quiet_loop import Quiet, loop_of
from tests.unit.operator_parts.objects import deployment_object, jobqueue

odd = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


class Refusing:
    """An API server that keeps statuses and answers every call for a child with the error that was set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.calls = error, 0
        self.bulk_gate, self.status_gate = asyncio.Semaphore(8), asyncio.Semaphore(4)
        self.statuses: list[Any] = []
        self.events: list[str] = []

    async def _answer(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return deployment_object()

    create = apply = patch_metadata = find = scale = get = _answer

    async def apply_status(self, queue: JobQueue, status: Any) -> Any:
        self.statuses.append(status)
        found = manifest()
        found["metadata"] |= {
            "uid": queue.uid,
            "namespace": queue.namespace,
            "generation": queue.generation,
            "resourceVersion": str(int(queue.resource_version) + 1),
        }
        return found | {"status": status}

    async def post_event(self, _: JobQueue, *, reason: str, **__: Any) -> None:
        self.events.append(reason)

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        return {one["type"]: (one["status"], one["reason"]) for one in self.statuses[-1]["conditions"]}

    def message(self, condition: str) -> str:
        return next(str(one["message"]) for one in self.statuses[-1]["conditions"] if one["type"] == condition)


class BrokenMetrics(OperatorMetrics):
    """Cannot show a state without a failure."""

    def observe(self, queue: JobQueue, state: ObservedState, *, paused: bool | None = None) -> None:
        if state.failure is None:
            raise KeyError("bound")
        super().observe(queue, state, paused=paused)


def reconciler(server: Refusing, metrics: OperatorMetrics | None = None) -> JobQueueReconciler:
    cluster, cache = cast("Cluster", server), Cache(lambda *_: None)
    metrics = metrics or OperatorMetrics(leading=lambda: True)
    return JobQueueReconciler(cluster=cluster, cache=cache, metrics=metrics, monitoring=Monitoring())


SECRET = "postgresql://shop:hunter2@db/shop"


class Odd(Exception):  # noqa: N818
    """One whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("containers"),
        TypeError("'NoneType' object is not iterable"),
        RecursionError("too deep"),
        ValueError(f"invalid URL {SECRET}\n\x1b[2J"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
        AssertionError(),
        MemoryError(),
        OSError(24, "Too many open files"),
        Odd(),
        ExceptionGroup("two", [KeyError("a")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_exception_that_nobody_expected_is_a_condition_one_traceback_and_a_pause(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    """With its class, without anybody's secret; it is not met again before the pause is over, or the spec changes."""
    server = Refusing(error)
    queue = reconciler(server)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert await queue.reconcile(jobqueue(), QueueSample()) is ReconcileResult.FAILED
    assert server.calls == 1
    assert server.conditions["Ready"] == ("False", "ReconcileFailed")
    assert server.conditions["ScalingActive"] == ("False", "ReconcileFailed")
    sentence = server.message("Ready")
    assert type(error).__name__ in sentence
    assert "hunter2" not in sentence
    assert sentence.isprintable()
    assert len([one for one in caplog.records if one.exc_info]) == 1
    assert queue.settled
    assert REST_SECONDS * 0.5 < queue.due_at - time.monotonic() <= REST_SECONDS
    await queue.reconcile(jobqueue(metadata={"generation": 2}), QueueSample())
    assert server.calls == 2


async def test_an_exception_of_the_report_itself_ends_in_a_condition_too():
    """The actions succeeded, so only the report is wrong; it is written again with the failure."""
    server = Refusing()
    queue = reconciler(server, BrokenMetrics(leading=lambda: True))
    assert await queue.reconcile(jobqueue(), QueueSample()) is ReconcileResult.FAILED
    assert server.conditions["Ready"] == ("False", "ReconcileFailed")
    assert "KeyError" in server.message("Ready")
    assert 0 < queue.due_at - time.monotonic() <= MAX_REST_SECONDS


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused("spec.x: unknown", status=422), "TemplateRejected"),
        (Forbidden("cannot create", status=403), "Forbidden"),
        (NotFound("no such namespace", status=404), "NotFound"),
        (Conflict("again", status=409), "Conflict"),
        (Unreachable("no answer"), "ApiServerUnreachable"),
    ],
)
async def test_a_call_that_fails_is_a_condition_and_rests(error: ClusterError, reason: str):
    """Nothing is asked of the API server meanwhile, and the queue is due again when the pause is over."""
    server = Refusing(error)
    queue = reconciler(server)
    for _ in range(3):
        await queue.reconcile(jobqueue(), QueueSample())
        calls = server.calls
    assert server.calls == calls <= 12
    assert server.conditions["WorkersAvailable"] == ("False", reason)
    assert server.conditions["Ready"][0] != "True"
    assert queue.settled
    assert 0 < queue.due_at - time.monotonic() <= MAX_REST_SECONDS


async def test_a_template_that_no_pod_can_be_made_of_asks_nothing_of_the_api_server():
    """It heals with the template alone; until then the queue costs nothing, and has its status."""
    server = Refusing()
    queue = reconciler(server)
    found = manifest()
    found["spec"]["worker"]["template"]["spec"]["volumes"] = "a"
    metadata = {"uid": "u-1", "namespace": "shop", "generation": 1, "resourceVersion": "10"}
    view = JobQueue.read(found | {"metadata": {**found["metadata"], **metadata}})
    await queue.reconcile(view, QueueSample())
    assert server.conditions["WorkersAvailable"] == ("False", "TemplateRejected")
    assert (server.calls, queue.settled) == (0, True)
    assert queue.due_at - time.monotonic() > MAX_REST_SECONDS


async def test_a_loop_whose_only_queue_rests_does_not_sample_before_its_time():
    """A refused template made two samples a second of the database, of which all its queues had a part."""

    class Resting:
        settled, due_at, startup_seconds = True, time.monotonic() + 4.0, None

    member = ScheduledQueue(jobqueue())
    loop = loop_of(Resting)
    loop._reconcilers[member.queue.uid] = cast("Any", Resting())
    assert 2.0 < await pause_until_next(cast("Any", Quiet()), {}, [member], loop._reconcilers) <= 4.0
    loop._reconciled[member.queue.uid] = (member, QueueSample())
    assert not loop._is_due(member, QueueSample())
    Resting.due_at = time.monotonic()
    assert loop._is_due(member, QueueSample())


@given(spec=st.one_of(odd, st.dictionaries(st.sampled_from(["databaseRef", "worker", "scaling", "queueName"]), odd)))
def test_a_jobqueue_of_any_content_can_be_read(spec: Any):
    """One that could not be ended the list, and with it the operator of everybody else."""
    found = manifest()
    metadata = {"uid": "u-1", "namespace": "shop", "resourceVersion": "10"}
    view = JobQueue.read({**found, "spec": spec, "metadata": {**found["metadata"], **metadata}})
    assert (view.policy is None) == (view.invalid is not None)


@given(template=odd, containers=odd, env=odd)
def test_a_pod_template_of_any_content_can_be_read(template: Any, containers: Any, env: Any):
    """What the rules read may be anything under an older definition."""
    for change in (
        template,
        {"spec": template},
        {"spec": {"containers": containers}},
        {"spec": {"containers": [{"name": "worker", "image": "a", "env": env}], "terminationGracePeriodSeconds": env}},
    ):
        view = jobqueue(worker__template=change)
        assert view.policy is not None or view.invalid is not None
        assert "cannot be read" not in (view.invalid or "")


@given(text=st.text(max_size=400))
def test_the_text_of_an_error_is_one_short_printable_line(text: str):
    """Whatever is in it."""
    made = summary(ValueError(text))
    assert made.isprintable()
    assert made.startswith("ValueError")
    assert len(made) < 250
    assert described(ValueError(text))[0] == "ReconcileFailed"


@pytest.mark.parametrize(
    "text", [SECRET, f"bad {SECRET} x", "password=hunter2", "PGPASSWORD: 'hunter2'", "pwd = hunter2"]
)
def test_an_error_shows_no_password(text: str):
    """In a URL, or next to its name."""
    assert "hunter2" not in summary(RuntimeError(text))
