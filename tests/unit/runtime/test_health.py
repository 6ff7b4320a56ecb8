"""Health and metrics over HTTP, and the exposition read by its own parser."""

from __future__ import annotations

import json
import logging
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.errors import ConfigurationError
from penstock.job import Finished, OutcomeState
from penstock.runtime.health import HealthServer
from penstock.runtime.logs import JsonFormatter
from penstock.runtime.metrics import WorkerMetrics, exposition
from tests.unit.runtime.support import completed, job


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_probes_say_what_is_wrong():
    """200 and ok, or 503 and the reason; anything else is not there."""
    trouble: dict[str, str | None] = {"live": None, "ready": "draining"}
    server = HealthServer(
        host="127.0.0.1", port=0, live=lambda: trouble["live"], ready=lambda: trouble["ready"],
        metrics=lambda: (b"x 1\n", "text/plain"),
    )  # fmt: skip
    server.start()
    try:
        assert fetch(server.port, "/healthz") == (200, "ok\n")
        assert fetch(server.port, "/readyz") == (503, "draining\n")
        assert fetch(server.port, "/metrics?x=1") == (200, "x 1\n")
        assert fetch(server.port, "/etc/passwd")[0] == 404
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
    assert counts == {"work": 3}
    assert {
        "penstock_job_wait_seconds",
        "penstock_claim_seconds",
        "penstock_ack_seconds",
        "penstock_build_info",
    } <= set(families)


def test_a_task_that_the_app_does_not_have_makes_no_series_of_its_own():
    """Names in the database must not become labels."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    for number in range(50):
        metrics.acknowledged([completed(job(task=f"made up {number}"))], 0.001)
    body = exposition(metrics)()[0].decode()
    assert "made up" not in body
    assert 'task="unknown"' in body


def test_a_json_log_line_is_one_object_with_what_was_added():
    """Time in UTC, level, logger, message, the extra keys."""
    record = logging.makeLogRecord(
        {"name": "n", "levelno": 30, "levelname": "WARNING", "msg": "a %s", "args": ("b",), "job": 7}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"], line["job"]) == ("warning", "n", "a b", 7)
    assert line["time"].endswith("Z")
