"""Parts of the process executor that need no worker: frames, output, limits."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from penstock import App
from penstock.app.task import TaskRegistry
from penstock.errors import ConfigurationError, TaskTimeout
from penstock.job import Finished
from penstock.runtime.execution.processes import protocol
from penstock.runtime.execution.processes.factory import in_children, killed_as_one
from penstock.runtime.execution.processes.log_capture import (
    BYTES_PER_SECOND,
    LINES_PER_SECOND,
    MAX_LINE_BYTES,
    CapturedOutput,
)
from penstock.runtime.execution.timeouts import Alarm, run_with_timeout
from penstock.settings import Settings
from tests.unit.runtime.support import completed, job, until


def test_a_child_reports_all_that_an_outcome_has_but_the_job():
    """Forensics are the worker's: they are about what stands around the attempt."""
    reported = {field.name for field in msgspec.structs.fields(protocol.AttemptOutcome)}
    known = {field.name for field in msgspec.structs.fields(Finished)}
    assert known - reported == {"job", "forensics"}
    one = msgspec.structs.replace(completed(job(), 0.5), result="7", fault=True)
    back = protocol.from_child(protocol.encode(protocol.outcome_frame(one, 1))[protocol.HEAD :])
    assert isinstance(back, protocol.AttemptOutcome)
    assert protocol.finished(one.job, back) == one


def test_frames_arrive_whole_whatever_the_pieces():
    """And the end of the pipe is the end of the worker."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        data = protocol.encode(protocol.RunJob(job=job(args='{"a": "ü"}'))) + protocol.encode(protocol.Stop())
        for place in range(0, len(data), 7):
            ours.sendall(data[place : place + 7])
        first = protocol.receive(theirs)
        assert isinstance(first, protocol.RunJob)
        assert first.job.args == '{"a": "ü"}'
        assert protocol.receive(theirs) == protocol.Stop()
        ours.close()
        assert protocol.receive(theirs) is None


def test_a_frame_larger_than_any_is_refused():
    """A length that a child invented is not waited for."""
    with pytest.raises(ValueError, match="at most"):
        protocol.body_length(b"\xff\xff\xff\xff")


class Stream:
    """A child's output without a child."""

    def __init__(self) -> None:
        reading, self.fd = os.pipe()
        self.output = CapturedOutput(
            reading, child=1, stream="stdout", level=logging.INFO, loop=asyncio.get_running_loop()
        )
        os.set_blocking(self.fd, False)
        self.written = 0

    def write(self, data: bytes) -> None:
        """As much as the pipe takes."""
        while data:
            try:
                count = os.write(self.fd, data)
            except BlockingIOError:
                return
            self.written += count
            data = data[count:]


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    made = Stream()
    yield made
    os.close(made.fd)
    made.output.close()


async def test_lines_of_a_child_are_lines_of_the_log(stream, caplog):
    """With the child's name, without what would draw on a terminal; a line that is not ended waits for its end."""
    with caplog.at_level(logging.INFO, "penstock.child"):
        stream.write(b"one\n\x1b[31mtwo\nthr")
        await until(lambda: len(caplog.messages) == 2)
        stream.write(b"ee\n")
        await until(lambda: len(caplog.messages) == 3)
    assert caplog.messages == ["one", " [31mtwo", "three"]


async def test_a_flood_is_cut_counted_and_slowed_down(stream, caplog):
    """So many lines in a second, so many bytes; who writes more waits, as on any pipe."""
    with caplog.at_level(logging.INFO, "penstock.child"):
        await until(lambda: stream.write(b"x" * 99 + b"\n") or "suppressed" in caplog.text)
    shown = [text for text in caplog.messages if text.endswith("xxx")]
    assert len(shown) <= 2 * LINES_PER_SECOND
    assert stream.written < 4 * BYTES_PER_SECOND


async def test_a_line_without_end_is_cut(stream, caplog):
    """Nothing is kept of it but what one line may have."""
    with caplog.at_level(logging.INFO, "penstock.child"):
        stream.write(b"y" * (MAX_LINE_BYTES * 3))
        await until(lambda: caplog.messages)
    assert all(len(text) < MAX_LINE_BYTES + 30 for text in caplog.messages)


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    """In the main thread, as in a child; pytest's own timer is another signal's user, so it is put back."""
    before, timer = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    try:
        yield Alarm()
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


@pytest.fixture
def task():
    app = App()

    @app.task(name="work", timeout=0.05, executor="process")
    def work() -> None:
        """Nothing."""

    return work


def test_an_alarm_interrupts_a_function_that_does_not_check(alarm, task):
    """Inside it, where it can be caught and something put right."""
    seen: list[str] = []

    def stuck() -> None:
        try:
            while True:
                time.sleep(1)
        except TimeoutError as error:
            seen.append(str(error))
            raise

    with pytest.raises(TaskTimeout, match=r"'work': ran longer than its timeout of 0\.05 s"):
        alarm.within(task, stuck)
    assert len(seen) == 1


def test_an_alarm_that_is_not_needed_never_rings(alarm):
    """What comes after the call is not the task's."""

    def work() -> None:
        """Nothing."""

    patient = App().task(name="work", timeout=60, executor="process")(work)
    assert alarm.within(patient, lambda: 7) == 7
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


async def test_a_timeout_of_the_tasks_own_making_stays_what_it_is(task):
    """Only the task's limit is a TaskTimeout."""

    async def own() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        await run_with_timeout(task, own)
    assert not isinstance(caught.value, TaskTimeout)
    with pytest.raises(TaskTimeout):
        await run_with_timeout(task, functools.partial(asyncio.sleep, 5))


def test_a_group_that_is_killed_as_one_is_known(tmp_path):
    """By what the kernel says of the container's memory."""
    file = tmp_path / "memory.oom.group"
    assert not killed_as_one(file)
    for text, expected in (("0\n", False), ("1\n", True)):
        file.write_text(text)
        assert killed_as_one(file) is expected


def test_tasks_for_children_need_a_path_to_their_app(task):
    """A child imports it."""
    tasks = TaskRegistry()
    tasks.add(task)
    assert in_children(tasks, Settings(app="a:b")) == {"work"}
    with pytest.raises(ConfigurationError, match=r"PENSTOCK_APP.*'work' runs in a child process"):
        in_children(tasks, Settings())


def test_a_child_loads_nothing_that_only_a_worker_needs():
    """Its memory is paid once per slot: no driver before a task uses one, no stages, no metrics."""
    unwanted = [
        "psycopg",
        "prometheus_client",
        "typer",
        "penstock.stages",
        "penstock.store",
        "penstock.runtime.worker",
    ]
    child_main = "penstock.runtime.execution.processes.child_main"
    code = f"import {child_main}, sys; print([m for m in {unwanted} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == "[]\n"
