"""Health and metrics over HTTP, and the exposition read by its own parser."""

from __future__ import annotations

import json
import logging
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.errors import ConfigurationError
from penstock.job import Finished, OutcomeState
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.health_server import HealthServer
from penstock.runtime.observe.logs import JsonFormatter
from penstock.runtime.observe.metrics import MAX_QUEUES, WorkerMetrics, exposition
from tests.support.pages import page
from tests.unit.runtime.support import completed, job


def test_probes_say_what_is_wrong():
    """200 and ok, or 503 and the reason; anything else is not there."""
    problems: dict[str, str | None] = {"live": None, "ready": "draining"}
    server = HealthServer(
        host="127.0.0.1",
        port=0,
        live=lambda: problems["live"],
        ready=lambda: problems["ready"],
        metrics=lambda: (b"x 1\n", "text/plain"),
    )
    server.start()
    try:
        assert page(server.port, "/healthz") == (200, "ok\n")
        assert page(server.port, "/readyz") == (503, "draining\n")
        assert page(server.port, "/metrics?x=1") == (200, "x 1\n")
        assert page(server.port, "/etc/passwd")[0] == 404
    finally:
        server.close()


def test_an_address_that_is_taken_is_one_clear_error():
    """The worker does not start, and says which address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}"):
            HealthServer(host="127.0.0.1", port=port, live=lambda: None, ready=lambda: None, metrics=lambda: (b"", ""))


def test_the_exposition_parses_and_adds_up():
    """Counts by task and outcome; series of every task exist before anything ran."""
    metrics = WorkerMetrics(queue="q", tasks=["work", "idle"], version="1")
    metrics.claimed(3, 0.002)
    failed = Finished(job=job(), state=OutcomeState.FAILED, duration=2.0)
    metrics.acknowledged([completed(job(), 0.02), completed(job(wait=0.3), 0.02), failed], 0.004)
    body, kind = exposition(metrics)()
    assert kind.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    jobs = {(s.labels["task"], s.labels["outcome"]): s.value for s in families["penstock_jobs"].samples}
    assert jobs["work", "completed"] == 2
    assert jobs["work", "failed"] == 1
    assert jobs["idle", "completed"] == 0
    counts = {
        s.labels["task"]: s.value
        for s in families["penstock_job_duration_seconds"].samples
        if s.name.endswith("_count")
    }
    assert counts == {"work": 3, "idle": 0, "unknown": 0}


def test_a_task_that_the_app_does_not_have_makes_no_series_of_its_own():
    """Names in the database must not become labels."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    for number in range(50):
        metrics.acknowledged([completed(job(task=f"made up {number}"))], 0.001)
    body = exposition(metrics)()[0].decode()
    assert "made up" not in body
    assert 'task="unknown"' in body


PROMISED = {
    "penstock_jobs_total": {"queue", "task", "outcome"},
    "penstock_job_wait_seconds_count": {"queue"},
    "penstock_job_duration_seconds_count": {"queue", "task"},
    "penstock_claim_seconds_count": {"queue"},
    "penstock_claim_size_count": {"queue"},
    "penstock_ack_seconds_count": {"queue"},
    "penstock_fenced_total": {"queue"},
    "penstock_rescued_total": {"reason"},
    "penstock_consumers": {"queue", "state"},
    "penstock_stage_demand": {"queue", "stage"},
    "penstock_stage_buffered": {"queue", "stage"},
    "penstock_stage_events_total": {"queue", "stage"},
    "penstock_circuit_state": {"queue", "task"},
    "penstock_dead_letters_total": {"queue", "task"},
    "penstock_event_loop_lag_seconds": {"queue"},
    "penstock_lease_renewal_failures_total": {"queue"},
    "penstock_build_info": {"version"},
    "penstock_oldest_running_timestamp_seconds": {"queue"},
    "penstock_lease_renewed_timestamp_seconds": {"queue"},
    "penstock_children": {"queue"},
    "penstock_child_starts_total": {"queue"},
    "penstock_child_exits_total": {"queue", "reason"},
}


def samples(metrics: WorkerMetrics) -> list:
    text = exposition(metrics)()[0].decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_every_promised_series_is_there_before_anything_ran():
    """With its labels, at zero: a rate over a series that appears with its first event would miss that event."""
    found = {s.name: s for s in samples(WorkerMetrics(queue="q", tasks=["work"], version="1"))}
    assert {name: set(found[name].labels) for name in PROMISED} == PROMISED
    assert {found[name].value for name in PROMISED if name != "penstock_build_info"} == {0}


def test_what_each_stage_handed_on_is_counted_by_the_batch():
    """Claimed, run and acknowledged: what is missing between two of them is what that stage holds."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1", clock=lambda: 1234.0)
    metrics.claimed(3, 0.001)
    metrics.acknowledged([completed(job())] * 2, 0.001)
    found = {(s.name, s.labels.get("stage")): s.value for s in samples(metrics)}
    assert found["penstock_stage_events_total", "claimer"] == 3
    assert found["penstock_stage_events_total", "acknowledger"] == 2
    assert found["penstock_last_job_timestamp_seconds", None] == 1234.0


def test_children_are_counted_by_why_they_exited():
    """A child that is neither alive nor exited is starting."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    stats = metrics.children
    stats.started = 3
    stats.up()
    stats.up()
    stats.down("memory")
    found = {(s.name, s.labels.get("reason")): s.value for s in samples(metrics) if "child" in s.name}
    assert (found["penstock_children", None], found["penstock_child_starts_total", None]) == (1, 3)
    assert {reason: count for (_, reason), count in found.items() if reason and count} == {"memory": 1}


def test_a_job_under_a_former_name_counts_for_its_task():
    """An alias is no task of its own."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], aliases={"toil": "work"}, version="1")
    metrics.acknowledged([completed(job(task="toil"))], 0.001)
    found = {s.labels["task"]: s.value for s in samples(metrics) if s.labels.get("outcome") == "completed"}
    assert found == {"work": 1, "unknown": 0}


def test_dead_letters_of_other_queues_are_counted_under_a_bounded_number_of_names():
    """A rescue takes back jobs of every queue in the database; what is beyond the bound counts as `other`."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    for number in range(MAX_QUEUES * 2):
        metrics.buried(f"queue {number}", "work" if number % 2 else "made up")
    dead = [s for s in samples(metrics) if s.name == "penstock_dead_letters_total"]
    assert sum(s.value for s in dead) == MAX_QUEUES * 2
    assert len({s.labels["queue"] for s in dead}) <= MAX_QUEUES + 1
    assert {s.labels["task"] for s in dead} == {"work", "unknown"}


def test_a_circuit_is_shown_by_task_and_counts_what_it_blocked():
    """0 closed, 1 half-open, 2 open."""
    metrics = WorkerMetrics(queue="q", tasks=["work", "idle"], version="1")
    metrics.circuits = lambda: {"work": 2}
    metrics.blocked("work", 5)
    found = {(s.name, s.labels.get("task")): s.value for s in samples(metrics)}
    assert found["penstock_circuit_state", "work"] == 2
    assert found["penstock_circuit_state", "idle"] == 0
    assert found["penstock_circuit_blocked_total", "work"] == 5


def test_the_oldest_claim_is_known_by_its_arrival():
    """In the order in which claims came, whatever was acknowledged meanwhile; and not by what is over."""
    now = [10.0]
    claims = HeldClaims(clock=lambda: now[0])
    first, second = [job(token=1), job(token=1)], [job(token=2)]
    claims.add(first)
    now[0] = 20.0
    claims.add(second)
    assert claims.oldest() == 10.0
    claims.remove(first)
    assert claims.oldest() == 20.0
    claims.remove(second)
    assert claims.oldest() is None
    for token in range(3, 2000):
        now[0] += 1
        claims.add([one := job(token=token)])
        claims.remove([one])
    assert len(claims._arrived) < 300


def test_a_json_log_line_is_one_object_with_what_was_added():
    """Time in UTC, level, logger, message, the extra keys."""
    record = logging.makeLogRecord(
        {"name": "n", "levelno": 30, "levelname": "WARNING", "msg": "a %s", "args": ("b",), "job": 7}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"], line["job"]) == ("warning", "n", "a b", 7)
    assert line["time"].endswith("Z")
