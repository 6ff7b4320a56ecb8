"""Parts of the process executor that need no worker: frames, output, limits, the pool over real child processes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from penstock import App
from penstock.errors import ConfigurationError, TaskTimeout
from penstock.job import Finished
from penstock.runtime.children import frames
from penstock.runtime.children.building import in_children, killed_as_one
from penstock.runtime.children.child import ChildLost
from penstock.runtime.children.output import BYTES_PER_SECOND, LINES_PER_SECOND, LONGEST_LINE, Output
from penstock.runtime.children.pool import STARTS, Children, NoChild
from penstock.runtime.limits import Alarm, within
from penstock.settings import Settings
from penstock.tasks import Registry
from tests.unit.runtime.support import completed, job, until

APP = "tests.unit.runtime.child_app:app"


def test_a_child_tells_all_that_an_outcome_has_but_the_job():
    """Forensics are the worker's: they are about what stands around the attempt."""
    told = {field.name for field in msgspec.structs.fields(frames.Ended)}
    known = {field.name for field in msgspec.structs.fields(Finished)}
    assert known - told == {"job", "forensics"}
    one = msgspec.structs.replace(completed(job(), 0.5), result="7", fault=True)
    back = frames.from_child(frames.encode(frames.ended(one, 1))[frames.HEAD :])
    assert isinstance(back, frames.Ended)
    assert frames.finished(one.job, back) == one


def test_frames_arrive_whole_whatever_the_pieces():
    """And the end of the pipe is the end of the worker."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        data = frames.encode(frames.Run(job=job(args='{"a": "ü"}'))) + frames.encode(frames.Stop())
        for place in range(0, len(data), 7):
            ours.sendall(data[place : place + 7])
        first = frames.receive(theirs)
        assert isinstance(first, frames.Run)
        assert first.job.args == '{"a": "ü"}'
        assert frames.receive(theirs) == frames.Stop()
        ours.close()
        assert frames.receive(theirs) is None


def test_a_frame_larger_than_any_is_refused():
    """A length that a child invented is not waited for."""
    with pytest.raises(ValueError, match="at most"):
        frames.body_length(b"\xff\xff\xff\xff")


class Stream:
    """A child's output without a child."""

    def __init__(self) -> None:
        reading, self.fd = os.pipe()
        self.output = Output(reading, name="child 1 stdout", level=logging.INFO, loop=asyncio.get_running_loop())
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
    assert caplog.messages == ["child 1 stdout: one", "child 1 stdout:  [31mtwo", "child 1 stdout: three"]


async def test_a_flood_is_cut_counted_and_slowed_down(stream, caplog):
    """So many lines in a second, so many bytes; who writes more waits, as on any pipe."""
    with caplog.at_level(logging.INFO, "penstock.child"):
        await until(lambda: stream.write(b"x" * 99 + b"\n") or "not shown" in caplog.text)
    shown = [text for text in caplog.messages if text.endswith("xxx")]
    assert len(shown) <= 2 * LINES_PER_SECOND
    assert stream.written < 4 * BYTES_PER_SECOND


async def test_a_line_without_end_is_cut(stream, caplog):
    """Nothing is kept of it but what one line may have."""
    with caplog.at_level(logging.INFO, "penstock.child"):
        stream.write(b"y" * (LONGEST_LINE * 3))
        await until(lambda: caplog.messages)
    assert all(len(text) < LONGEST_LINE + 30 for text in caplog.messages)


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


def test_an_alarm_interrupts_a_function_that_does_not_look(alarm, task):
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


def test_an_alarm_that_is_not_needed_never_rings(alarm, task):
    """What comes after the call is not the task's."""
    assert alarm.within(task, lambda: 7) == 7
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


async def test_a_timeout_of_the_tasks_own_making_stays_what_it_is(task):
    """Only the task's limit is a TaskTimeout."""

    async def own() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as caught:
        await within(task, own)
    assert not isinstance(caught.value, TaskTimeout)
    with pytest.raises(TaskTimeout):
        await within(task, functools.partial(asyncio.sleep, 5))


def test_a_group_that_is_killed_as_one_is_known(tmp_path):
    """By what the kernel says of the container's memory."""
    file = tmp_path / "memory.oom.group"
    assert not killed_as_one(file)
    for text, expected in (("0\n", False), ("1\n", True)):
        file.write_text(text)
        assert killed_as_one(file) is expected


def test_tasks_for_children_need_a_path_to_their_app(task):
    """A child imports it."""
    tasks = Registry()
    tasks.add(task)
    assert in_children(tasks, Settings(app="a:b")) == {"work"}
    with pytest.raises(ConfigurationError, match=r"PENSTOCK_APP.*'work' runs in a child process"):
        in_children(tasks, Settings())


# -- the pool, over real processes ------------------------------------------------------------------------------------


@pytest.fixture
async def pool() -> AsyncIterator[Callable[..., Children]]:
    made: list[Children] = []

    def make(app: str = APP, max_jobs: int = 0) -> Children:
        hello = frames.Hello(
            app=app, parent=os.getpid(), database_url="", pooled=False, log_level="info", strategy="constant",
            base_seconds=1.0, max_seconds=1.0,
        )  # fmt: skip
        made.append(Children(hello=hello, max_jobs=max_jobs, max_bytes=0))
        return made[-1]

    yield make
    for one in made:
        await one.close(5.0)
        assert one.count == 0


async def run(children: Children, what: str) -> frames.Ended:
    child = await children.take()
    try:
        return await child.begin(job(task=what), until=None, report=lambda found: None)
    finally:
        children.give_back(child)


async def test_one_child_is_kept_warm_and_more_are_started_when_needed(pool):
    """As many as run at once, no more; the next job takes one that is there."""
    children = pool()
    await children.open()
    first = await run(children, "pid")
    assert (await run(children, "pid")).result == first.result
    both = [await children.take(), await children.take()]
    for child in both:
        children.give_back(child)
    assert len({child.pid for child in both}) == children.count == 2


async def test_a_child_that_ends_with_its_job_tells_how(pool):
    """The exit code or the signal, and its last words; the next job has another child."""
    children = pool()
    with pytest.raises(ChildLost) as lost:
        await run(children, "leave")
    assert (lost.value.how, lost.value.killed, lost.value.said) == ("it left with exit code 7", None, ["farewell"])
    children.lost(crashed=True)
    assert (await run(children, "pid")).result
    await until(lambda: children.count == 1)


async def test_a_child_that_dies_idle_is_not_given_to_a_job(pool):
    """It is gone from the pool, and another one is started."""
    children = pool()
    await children.open()
    told = await run(children, "pid")
    os.kill(int(told.result or 0), signal.SIGKILL)
    await until(lambda: children.count == 0)
    assert (await run(children, "pid")).result != told.result


async def test_children_that_never_come_up_are_told_to_who_waits(pool):
    """After three, with the reason; whoever holds the job can put it off."""
    children = pool(app="tests.unit.runtime.no_such_module:app")
    with pytest.raises(ChildLost, match="there is no module"):
        await children.open()
    with pytest.raises(NoChild, match="there is no module"):
        await children.take()
    assert STARTS == 3


async def test_what_a_child_tells_of_its_progress_arrives(pool):
    """Before its outcome, from a thread of the task's own too."""
    children = pool()
    child = await children.take()
    found: list[dict[str, float | str]] = []
    await child.begin(job(task="tell"), until=None, report=found.append)
    children.give_back(child)
    assert found == [{"done": 1, "total": 2}, {"done": 2, "total": 2, "note": "all"}]


def highest_file() -> int:
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


async def test_a_child_that_the_machine_has_no_room_for_is_told_as_one_that_did_not_come_up(pool):
    """No file left: whoever waits hears of it, nothing hangs and nothing stays open."""
    children = pool()
    await children.open()
    child = await children.take()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1, hard)
    )
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        with pytest.raises(NoChild, match="cannot be started"):
            await children.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    children.give_back(child)
    assert (await run(children, "pid")).result
