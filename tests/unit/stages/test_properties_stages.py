"""Whole stages over random programs, and cancellation injected at every await (P1 to P7, P10, P11, P13, P14; 115).

A little over 300 lines: the program and what is checked of it are read together.
"""

# mypy: disable-error-code="arg-type,attr-defined,misc,no-untyped-call,union-attr,var-annotated,override"

import asyncio
import gc
from collections import Counter as Tally

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.stages import (
    CancelMode,
    Consumer,
    ExponentialBackoff,
    Names,
    PartitionDispatcher,
    Producer,
    ProducerConsumer,
    State,
    Supervisor,
)

from .doubles import settle, turns

QUICK = settings(deadline=None, max_examples=100)


class Watched:
    """Notes overlapping callbacks and callbacks after the stop (P10)."""

    def __init__(self, **options):
        super().__init__(**options)
        self.running = 0
        self.problems = []

    async def guarded(self, pause):
        if self.running or self.state is State.ENDED:
            self.problems.append((self.running, self.state))
        self.running += 1
        try:
            for _ in range(pause):
                await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def on_cancel(self, cancellation, subscription):
        await self.guarded(1)

    async def on_stop(self, reason):
        await self.guarded(1)


class Book:
    """What became of every event: finished by a sink, or released."""

    def __init__(self):
        self.emitted = 0
        self.finished = []
        self.released = []
        self.asked = 0
        self.demanded = 0


class Source(Watched, Producer):
    """Emits numbers, as many as are asked for until `total`; takes back what is released."""

    def __init__(self, book, total=10_000, **options):
        super().__init__(**options)
        self.book = book
        self.total = total

    async def handle_demand(self, demand):
        await self.guarded(1)
        self.book.demanded += demand
        count = min(demand, self.total - self.book.emitted)
        first, self.book.emitted = self.book.emitted, self.book.emitted + count
        return list(range(first, first + count))

    def on_released(self, events, why):
        self.book.released.extend(events)


class Middle(Watched, ProducerConsumer):
    """Passes on one to one; what of its own comes back goes to the same book."""

    def __init__(self, book, **options):
        super().__init__(**options)
        self.book = book

    async def handle_events(self, events, subscription):
        await self.guarded(1)
        return list(events)

    def on_released(self, events, why):
        self.book.released.extend(events)


class Sink(Watched, Consumer):
    """Finishes a batch after a few turns of the loop."""

    def __init__(self, book, **options):
        super().__init__(**options)
        self.book = book
        self.got = []
        self.sizes = []

    async def handle_events(self, events, subscription):
        await self.guarded(2)
        self.sizes.append(len(events))
        self.got.extend(events)
        self.book.finished.extend(events)


def unfinished(*stages):
    """Events that living stages still hold."""
    total = 0
    for stage in stages:
        status = stage.status()
        if status.outlet is not None:
            total += status.outlet.buffered
            if isinstance(stage._stage_outlet.dispatcher, PartitionDispatcher):
                total += stage._stage_outlet.dispatcher.queued()
        if status.inlet is not None:
            total += status.inlet.waiting
    return total


operation = st.one_of(
    st.tuples(st.just("sink"), st.integers(1, 8), st.integers(0, 7)),
    st.tuples(st.just("kill"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("stop"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("turns"), st.integers(1, 12), st.just(0)),
)


async def act(what, first, second, sinks, head, book):
    """One step of a random program."""
    living = [sink for sink in sinks if sink.state is State.RUNNING]
    if what == "turns":
        await turns(first)
    elif what == "sink":
        sink = Sink(book)
        await sink.start()
        place = second % 3  # a partition that is taken refuses, which is part of the game
        least = min(second, first - 1)
        await sink.subscribe(head, max_demand=first, min_demand=least, partition=place, cancel=CancelMode.TEMPORARY)
        sinks.append(sink)
    elif living:
        sink = living[first % len(living)]
        if what == "kill":
            sink.kill()
        elif what == "stop":
            await sink.stop()
        else:
            for link in sink.subscriptions():
                link.cancel()
                link.cancel()
                link.ask(3)


async def scenario(program, with_middle, partitioned):
    """Source, perhaps a middle, and sinks that come and go."""
    loop, problems = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    book, sinks = Book(), []
    parts = {"dispatcher": PartitionDispatcher(3)} if partitioned else {}
    source = Source(book, total=200, **({} if with_middle else parts))
    middle = Middle(book, **(parts if with_middle else {}))
    await source.start()
    await middle.start()
    head = middle if with_middle else source
    if with_middle:
        await middle.subscribe(source, max_demand=5, min_demand=2)
    for what, first, second in program:
        await act(what, first, second, sinks, head, book)
        for window in [link.window for sink in sinks for link in sink.subscriptions() if link.window is not None]:
            assert 0 <= window.outstanding <= window.maximum
    await settle()
    stages = [source, middle, *sinks]
    check(book, stages, sinks)
    active = any(link.active for sink in sinks if sink.state is State.RUNNING for link in sink.subscriptions())
    if active and not partitioned:
        assert book.emitted == 200, "P7: the source was asked for everything"
        assert unfinished(*stages) == 0
    for stage in reversed(stages):
        stage.kill()
        await stage.wait()
    await settle()
    assert Tally(book.finished) + Tally(book.released) == Tally(range(book.emitted)), "P5 and P13: each exactly once"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not problems


def check(book, stages, sinks):
    """After settling: conservation, order, bounds, no stall."""
    assert not [problem for stage in stages for problem in stage.problems]
    waiting = unfinished(*stages)
    assert len(book.finished) + len(book.released) + waiting == book.emitted
    assert not (set(book.finished) & set(book.released))
    for sink in sinks:
        assert sink.got == sorted(sink.got)
        for link in sink.subscriptions():
            assert all(size <= link.options.max_demand for size in sink.sizes)


@QUICK
@given(st.lists(operation, min_size=3, max_size=25), st.booleans(), st.booleans())
def test_events_are_conserved_as_stages_come_and_go(program, with_middle, partitioned):
    """Consumers that are added, cancelled, stopped and killed at random: each event ends exactly once."""
    asyncio.run(scenario(program, with_middle, partitioned))


async def one_run(victim, step, problems):
    """Source -> middle -> sink; kill one of them after `step` turns of the loop. True: it came too late."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    book = Book()
    source, middle, sink = Source(book, total=12), Middle(book), Sink(book)
    stages = {"source": source, "middle": middle, "sink": sink}

    async def wire():
        for stage in stages.values():
            await stage.start()
        await middle.subscribe(source, max_demand=4, min_demand=2)
        await sink.subscribe(middle, max_demand=3, min_demand=1)

    wiring = asyncio.create_task(wire())
    for _ in range(step):
        await asyncio.sleep(0)
    over = len(book.finished) == 12
    stages[victim].kill()
    await settle()
    if not wiring.done():
        wiring.cancel()
    await asyncio.wait([wiring])
    if not wiring.cancelled():
        wiring.exception()
    for stage in stages.values():
        stage.kill()
        if stage.state is not State.NEW:
            await stage.wait()
    await settle()
    assert Tally(book.finished) + Tally(book.released) == Tally(range(book.emitted)), (victim, step)
    assert not [problem for stage in stages.values() for problem in stage.problems]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return over


@pytest.mark.case(115)
@pytest.mark.parametrize("victim", ["source", "middle", "sink"])
def test_a_kill_at_any_turn_loses_nothing_and_leaves_nothing(victim):
    """Step by step through a whole run: no event lost and unreleased, no task left, no unretrieved exception."""
    problems: list[dict] = []
    for step in range(400):
        if asyncio.run(one_run(victim, step, problems)):
            break
    else:
        raise AssertionError("the run never ended")
    gc.collect()
    assert step > 20
    assert not problems


class Flaky(Sink):
    """Fails now and then."""

    failures = 0

    async def handle_events(self, events, subscription):
        await super().handle_events([], subscription)
        if 7 in events and not Flaky.failures:
            Flaky.failures += 1
            raise ValueError("seven")
        await super().handle_events(events, subscription)


async def test_under_a_supervisor_every_event_is_finished_in_the_end(house):
    """A sink that fails once, and a source that emits again what comes back: nothing is lost, nothing twice."""
    names, book = Names(), Book()
    Flaky.failures = 0

    class Steady(Source):
        def on_released(self, events, why):
            if self.state is not State.ENDED:
                self.push(events)

    fast = ExponentialBackoff(base=0.001, cap=0.002)
    supervisor = Supervisor(
        [
            lambda: Steady(book, total=40, name="source", names=names),
            lambda: Flaky(book, names=names, subscribe_to=["source"]),
        ],
        backoff=fast,
    )
    await house(supervisor)
    async with asyncio.timeout(60):
        while len(book.finished) < 40:
            await asyncio.sleep(0.001)
    await settle()
    assert Tally(book.finished) == Tally(range(40))
    await supervisor.stop()
