"""Nothing waits for ever: every wait of a stage, a supervisor and a pipeline for code of others has an end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.stages import (
    CallCycle,
    CancelMode,
    Child,
    Consumer,
    Pipeline,
    Poller,
    Producer,
    RestartsExceeded,
    StageEnded,
    Supervisor,
    from_iterable,
)
from penstock.stages.reasons import KILLED

SECONDS = 60.0
"""Far more than any timeout here; reaching it means waiting for ever."""


@pytest.fixture
def free() -> Any:
    """What deaf callbacks wait for in vain, until the test is over."""
    event = asyncio.Event()
    yield event
    event.set()


async def deaf(until: asyncio.Event) -> None:
    """Ignores every cancellation."""
    while not until.is_set():
        try:
            await until.wait()
        except asyncio.CancelledError:
            continue


class Quiet(Producer[int]):
    async def handle_demand(self, demand: int) -> list[int]:
        del demand
        return []


class Deaf(Quiet):
    """One of its callbacks ignores its cancellation."""

    def __init__(self, where: str, until: asyncio.Event, **options: Any) -> None:
        super().__init__(**options)
        self.where, self.until = where, until

    async def on_start(self) -> None:
        if self.where == "on_start":
            await deaf(self.until)

    async def on_stop(self, reason: object) -> None:
        if self.where == "on_stop":
            await deaf(self.until)

    async def on_call(self, request: object) -> object:
        if self.where == "on_call":
            await deaf(self.until)
        return request

    async def on_cast(self, request: object) -> None:
        if self.where == "on_cast":
            await deaf(self.until)


@pytest.mark.parametrize("where", ["on_stop", "on_cast"])
async def test_a_stage_whose_callback_ignores_its_cancellation_ends_within_the_time_to_stop(free, where, caplog):
    """The callback is abandoned; it is the last of its stage, whenever it returns."""
    stage = Deaf(where, free)
    await stage.start()
    stage.cast("now")
    await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        await stage.stop(timeout=0.01)
    assert stage.reason is KILLED
    assert "ignores cancellation" in caplog.text
    free.set()
    await ended(stage)


async def ended(stage: Any) -> None:
    """Until its task has ended as well."""
    await asyncio.wait([stage._stage_task], timeout=SECONDS)
    assert stage._stage_task.done()


async def test_a_killed_stage_ends_after_a_callback_that_ignored_it(free):
    """It serves nothing more, and gets no `on_stop`."""
    stage = Deaf("on_cast", free)
    await stage.start()
    stage.cast("now")
    await asyncio.sleep(0)
    stage.kill()
    await asyncio.sleep(0)
    stage.cast("never")
    free.set()
    async with asyncio.timeout(SECONDS):
        assert await stage.wait() is KILLED


async def test_a_start_has_an_end(free):
    """The stage is killed then, and the error names it."""
    stage = Deaf("on_start", free, name="slow")
    async with asyncio.timeout(SECONDS):
        with pytest.raises(TimeoutError, match=r"slow.* did not start"):
            await stage.start(timeout=0.01)
    assert stage.reason is KILLED
    free.set()
    await ended(stage)


async def test_a_call_has_an_end(free):
    """The error names the stage; the caller goes on."""
    stage = Deaf("on_call", free, name="silent")
    await stage.start()
    async with asyncio.timeout(SECONDS):
        with pytest.raises(TimeoutError, match=r"silent.* did not answer within 0.01 s"):
            await stage.call("anything", timeout=0.01)
        free.set()
        assert await stage.call("again") == "again"
        await stage.stop()


class Caller(Quiet):
    """Asks another one before it answers."""

    other: Caller | None = None

    async def on_call(self, request: object) -> object:
        return request if self.other is None else await self.other.call(request)


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_a_circle_of_calls_is_an_error_at_once_and_names_the_circle(count):
    """Of any length; a row of calls that ends is answered."""
    stages = [Caller(name=f"stage {number}") for number in range(count)]
    for stage, other in itertools.pairwise(stages):
        stage.other = other
    for stage in stages:
        await stage.start()
    assert await stages[0].call("row") == "row"
    stages[-1].other = stages[0]
    async with asyncio.timeout(SECONDS):
        with pytest.raises(StageEnded):
            await stages[0].call("circle")
        reasons = [await stage.wait() for stage in stages]
    assert isinstance(reasons[-1], CallCycle)
    assert "stage 0" in str(reasons[-1])


async def test_a_task_of_a_stage_may_call_the_stage_that_its_stage_waits_for():
    """It is no callback: the circle is none, and both are answered."""

    class Starter(Quiet):
        async def on_call(self, request: object) -> object:
            self.task = asyncio.create_task(other.call(request))
            return "started"

    other, starter = Caller(), Starter()
    for stage in (other, starter):
        await stage.start()
    assert await starter.call("x") == "started"
    async with asyncio.timeout(SECONDS):
        assert await starter.task == "x"
        for stage in (other, starter):
            await stage.stop()


async def test_an_iterator_that_ignores_its_cancellation_does_not_keep_its_producer(free):
    """Nor a fetch that a stage which ends waits for."""

    async def items() -> AsyncIterator[int]:
        await deaf(free)
        yield 1

    class Take(Consumer[int]):
        async def handle_events(self, events: Any, subscription: Any) -> None: ...

    async def fetch(limit: int) -> list[int]:
        await deaf(free)
        return [limit]

    for producer in (from_iterable(items()), Poller(fetch)):
        async with Take() as taker:
            await producer.start()
            await taker.subscribe(producer, cancel=CancelMode.TEMPORARY)
            await asyncio.sleep(0.01)
            async with asyncio.timeout(SECONDS):
                await producer.stop(timeout=0.01)
    free.set()
    await asyncio.sleep(0.01)


class Dies(Quiet):
    async def handle_demand(self, demand: int) -> list[int]:
        raise ValueError(f"no source for {demand}")


class NeverStarts(Quiet):
    async def on_start(self) -> None:
        raise ValueError("no source")


@pytest.mark.parametrize("source", [Dies, NeverStarts])
@pytest.mark.parametrize("supervision", [{"max_restarts": 3}, {"max_restarts": 3, "backoff": None}], ids=str)
async def test_a_pipeline_whose_source_dies_for_good_ends_with_its_error(source, supervision):
    """Whether the supervisor gives up, or its pauses grow too long for that."""
    pipeline = Pipeline("p", supervision=supervision).source(source).process(lambda _: None, concurrency=1)
    async with asyncio.timeout(SECONDS):
        with pytest.raises((RestartsExceeded, ValueError), match=r"consecutive failures: 4|gives up|no source"):
            await pipeline.run(timeout=5)


async def test_a_pipeline_with_one_healthy_source_ends_with_the_error_of_the_other():
    """The healthy one would be waited for until it ends by itself."""
    kinds = itertools.chain([Quiet], itertools.repeat(Dies))

    def make() -> Producer[int]:
        return next(kinds)()

    pipeline = Pipeline("p", supervision={"max_restarts": 2})
    pipeline.source(make, count=2).process(lambda _: None, concurrency=1)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(RestartsExceeded):
            await pipeline.run(timeout=5)


@pytest.mark.parametrize("where", ["process", "batch", "prepare_for_draining", "source"])
async def test_a_pipeline_stops_in_time_even_if_its_callbacks_ignore_their_cancellation(free, where):
    """Processors, batch functions, sources, and the hook that prepares these for the drain."""

    async def handle(*_: Any) -> None:
        await deaf(free)

    class Source(Quiet):
        async def on_cast(self, request: object) -> None:
            del request
            await deaf(free)

        async def prepare_for_draining(self) -> None:
            if where == "prepare_for_draining":
                await deaf(free)

    pipeline = Pipeline("p").source(Source).process(handle if where == "process" else (lambda _: None), concurrency=2)
    pipeline.batch("b", handle if where == "batch" else (lambda *_: None), size=1)
    await pipeline.start()
    stages = pipeline.running.stages()
    pipeline.push([1, 2, 3])
    if where == "source":
        pipeline.running.sources()[0].cast("now")
    await asyncio.sleep(0.02)
    async with asyncio.timeout(SECONDS):
        await pipeline.stop(timeout=0.05)
    assert all(stage.state.value == "ended" for stage in stages)
    free.set()
    for stage in stages:
        await ended(stage)


async def test_children_that_ignore_their_cancellation_do_not_keep_a_supervisor(free):
    """Each has its time to shut down, and the supervisor its own."""
    children = [Child(make=lambda: Deaf("on_stop", free), shutdown=0.01) for _ in range(2)]
    supervisor = Supervisor(children)
    await supervisor.start()
    stages = [supervisor.child(child.id) for child in supervisor.children()]
    async with asyncio.timeout(SECONDS):
        await supervisor.stop()
    free.set()
    for stage in stages:
        await ended(stage)
