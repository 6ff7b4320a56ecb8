"""Log lines carry the job that they are about, also the lines of the task itself; and the trace of its producer."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from penstock.runtime.execution.processes.log_capture import CapturedOutput
from penstock.runtime.observe import logs
from penstock.trace import read
from tests.unit.runtime.support import job, until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def written() -> Iterator[Callable[[logging.Formatter], tuple[logging.Logger, io.StringIO]]]:
    """A logger of its own with the worker's filter, and what it wrote."""
    handlers: list[logging.Handler] = []
    logger = logging.getLogger("tests.written")

    def make(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(logs.JobFields())
        logger.addHandler(handler)
        handlers.append(handler)
        return logger, stream

    yield make
    for handler in handlers:
        logger.removeHandler(handler)


def inside(one, function: Callable[[], object]) -> None:
    """Call it as the attempt of a job does, in a context of its own."""

    def run() -> None:
        logs.running.set(one)
        function()

    contextvars.copy_context().run(run)


def test_a_tasks_own_line_carries_its_job_for_machines(written):
    """Job, attempt, queue, task and the producer's trace; a line outside of any attempt carries none."""
    logger, stream = written(logs.JsonFormatter())
    one = job(id=7, attempt=2, headers=json.dumps({"traceparent": PARENT}))
    inside(one, lambda: logger.warning("half way"))
    logger.warning("idle")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {key: first[key] for key in ("job", "attempt", "queue", "task", "message", "trace_id")} == {
        "job": 7,
        "attempt": 2,
        "queue": "q",
        "task": "work",
        "message": "half way",
        "trace_id": PARENT[3:35],
    }
    assert "job" not in second


def test_a_line_for_people_ends_with_its_job(written):
    """As key=value after the message; what `extra` says of another job wins."""
    logger, stream = written(logs.TextFormatter())
    inside(job(id=7), lambda: logger.warning("half way"))
    inside(job(id=7), lambda: logger.warning("other", extra={"job": 8}))
    logger.warning("idle")
    first, second, third = stream.getvalue().splitlines()
    assert first.endswith("half way job=7 attempt=1 queue=q task=work")
    assert second.endswith("other job=8")
    assert third.endswith("idle")


async def test_the_job_follows_its_task_into_threads(written):
    """As `asyncio.to_thread` and the worker's own threads copy the context."""
    logger, stream = written(logs.TextFormatter())

    async def attempt() -> None:
        logs.running.set(job(id=9))
        await asyncio.to_thread(logger.warning, "in a thread")

    await asyncio.create_task(attempt())
    assert " job=9 " in stream.getvalue()


@pytest.mark.parametrize(
    "headers",
    [
        None,
        "{}",
        '{"traceparent": 7}',
        '{"traceparent": "00-' + "0" * 32 + '-00f067aa0ba902b7-01"}',
        '{"traceparent": "ff' + PARENT[2:] + '"}',
        '{"traceparent": "' + PARENT[:-1] + '"}',
        '["traceparent"]',
        '{"traceparent": ',
        '{"traceparent": "00-' + "A" * 32 + '-00f067aa0ba902b7-01"}',
    ],
)
def test_a_malformed_trace_is_no_trace(headers):
    """What somebody else's enqueue wrote must not break a line or an attempt."""
    assert read(headers) is None


def test_a_later_version_of_the_trace_header_is_read_as_far_as_it_is_known():
    """The rule of the recommendation."""
    found = read(json.dumps({"traceparent": "01" + PARENT[2:] + "-more", "tracestate": "a=b"}))
    assert found is not None
    assert (found.trace_id, found.span_id, found.flags, found.state) == (PARENT[3:35], PARENT[36:52], 1, "a=b")


@pytest.fixture
def with_fields(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Captured lines pass the worker's filter."""
    fields = logs.JobFields()
    caplog.handler.addFilter(fields)
    yield caplog
    caplog.handler.removeFilter(fields)


async def test_what_a_child_prints_carries_the_job_that_runs_in_it(with_fields):
    """Not the job that the child was started for."""
    with_fields.set_level(logging.INFO, "penstock.child")
    reading, writing = os.pipe()

    async def attempt() -> CapturedOutput:
        logs.running.set(job(id=1))
        return CapturedOutput(reading, child=1, stream="stdout", level=logging.INFO, loop=asyncio.get_running_loop())

    output = await asyncio.create_task(attempt())
    os.write(writing, b"starting\n")
    await until(lambda: with_fields.records)
    output.job = job(id=2)
    os.write(writing, b"working\n")
    await until(lambda: len(with_fields.records) == 2)
    os.close(writing)
    output.close()
    first, second = with_fields.records
    assert not hasattr(first, "job")
    assert second.job == 2


def test_no_text_of_a_job_can_pass_for_a_line_of_the_log_or_rewrite_a_terminal(written):
    """Neither a message nor an exception's: what follows a line's end is indented, what does not print is escaped."""
    logger, stream = written(logs.TextFormatter())
    forged = "no\n2026-01-01 00:00:00,000 INFO    penstock.worker: all is well\r\x1b[2J\u202e\ud800"
    logger.error("failed: %s", forged, exc_info=ValueError(forged))
    first, *rest = stream.getvalue().rstrip("\n").split("\n")
    assert " ERROR " in first
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert stream.getvalue().replace("\n", "").isprintable()
    assert "\\r\\x1b[2J\\u202e\\ud800" in stream.getvalue()
