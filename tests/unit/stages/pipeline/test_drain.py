"""Group N: crashes, rate limits, the drain."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import SHUTDOWN, BadOption, DummyProducer, Envelope, Names, Pipeline, RateLimit, from_iterable

from ..doubles import settle, span
from .test_pipeline import Acks, running


class Steady(DummyProducer):
    """Takes back what is released and emits it again."""

    def on_released(self, events, why):
        if self.reason is None:
            self.push([event for event in events if event.acknowledger is not None])


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def layer(pipeline, name):
    return next(stage for stage in pipeline.running.stages() if stage.name[1] == name)


@pytest.mark.case(103)
async def test_a_killed_processor_is_replaced_and_its_events_are_redelivered():
    """1, 2, kill, 3, 4, 5: nothing is lost, the source and the workers are the same as before."""
    acks, killed, stored = Acks(), [], []

    async def handle(envelope):
        if envelope.data == "kill" and not killed:
            killed.append(1)
            layer(pipeline, "processor").kill()
            await asyncio.Event().wait()

    pipeline = Pipeline("p").source(Steady).process(handle, concurrency=1, max_demand=2)
    pipeline.batch("db", lambda given, info: stored.extend(one.data for one in given), size=1)
    async with running(pipeline):
        source, worker = layer(pipeline, "source"), layer(pipeline, "worker db")
        source.push([Envelope(data, acknowledger=acks, ref="r") for data in (1, 2, "kill", 3, 4, 5)])
        await until(lambda: len(stored) == 6)
        assert layer(pipeline, "source") is source
        assert layer(pipeline, "worker db") is worker
        assert [child.restarts for child in pipeline.running.status()] == [0, 1, 0, 0]
    assert sorted(map(str, stored)) == ["1", "2", "3", "4", "5", "kill"]
    assert sorted(str(data) for _, ok, _ in acks.calls for data in ok) == ["1", "2", "3", "4", "5", "kill"]


@pytest.mark.case(103)
async def test_what_a_killed_batcher_had_collected_goes_back():
    """Its open batch and its buffer are released, once."""
    acks = Acks()
    pipeline = Pipeline("p").source(DummyProducer).process(lambda envelope: None, concurrency=1)
    pipeline.batch("db", lambda given, info: None, size=10, timeout=60)
    async with running(pipeline):
        pipeline.push([Envelope(number, acknowledger=acks) for number in (1, 2, 3)])
        await settle()
        batcher = layer(pipeline, "batcher db")
        batcher.kill()
        await batcher.wait()
        await until(lambda: pipeline.running.status()[2].restarts == 1)
    assert acks.released == [1, 2, 3]
    assert acks.calls == []


@pytest.mark.case(103)
async def test_a_source_that_crashes_comes_back_to_its_processors():
    """The processors are the same as before and are fed by the new source."""
    made, seen = [], []

    class Crashing(DummyProducer):
        async def on_cast(self, request):
            raise ValueError(request)

    def make():
        made.append(Crashing())
        return made[-1]

    pipeline = Pipeline("p").source(make).process(lambda envelope: seen.append(envelope.data), concurrency=2)
    async with running(pipeline):
        processors = [stage for stage in pipeline.running.stages() if stage.name[1] == "processor"]
        made[0].cast("crash")
        await until(lambda: len(made) == 2 and len(made[1].demands) == 2)
        pipeline.push([1])
        await until(lambda: seen == [1])
        assert [stage for stage in pipeline.running.stages() if stage.name[1] == "processor"] == processors


@pytest.mark.case(105, 106)
@pytest.mark.looptime
async def test_a_closed_limit_keeps_events_and_demand():
    """Limit 2, three pushed: the third waits; handle_demand is not called while closed; the next window brings both."""
    seen = []
    pipeline = Pipeline("p").source(DummyProducer, limit=RateLimit(2, 10.0))
    pipeline.process(lambda envelope: seen.append(envelope.data), concurrency=1, max_demand=2)
    async with running(pipeline):
        source = pipeline.running.sources()[0]
        assert source.demands == [2]
        source.push([1, 2, 3])
        await asyncio.sleep(9)
        assert seen == [1, 2]
        assert source.demands == [2], "demand is held back, not forwarded"
        await asyncio.sleep(2)
        assert seen == [1, 2, 3]
        assert len(source.demands) > 1
        assert all(demand == 1 for demand in source.demands[1:]), "one by one"


@pytest.mark.case(107)
@pytest.mark.looptime
async def test_a_limit_can_be_changed_while_running():
    """With reset at once, without it from the next window on; wrong values and a missing limit are refused."""
    seen = []
    limit = RateLimit(1, 10.0)
    pipeline = Pipeline("p").source(DummyProducer, limit=limit)
    pipeline.process(lambda envelope: seen.append(envelope.data), concurrency=1)
    async with running(pipeline):
        source = pipeline.running.sources()[0]
        source.push(span(1, 9))
        await asyncio.sleep(1)
        assert seen == [1]
        pipeline.running.update_limit(allowed=3, reset=True)
        await asyncio.sleep(1)
        assert seen == [1, 2, 3, 4]
        pipeline.running.update_limit(allowed=4)
        await asyncio.sleep(1)
        assert seen == [1, 2, 3, 4]
        await asyncio.sleep(8)
        assert seen == span(1, 8)
        with pytest.raises(BadOption, match="allowed must be at least 1"):
            pipeline.running.update_limit(allowed=0)
        with pytest.raises(TypeError):
            pipeline.running.update_limit(unknown=1)
        assert (limit.allowed, limit.interval) == (4, 10.0)
    other = Pipeline("q").source(DummyProducer).process(print, concurrency=1)
    async with running(other):
        with pytest.raises(BadOption, match="limit must be given"):
            other.running.update_limit(allowed=1)


@pytest.mark.case(108)
async def test_pushed_and_test_events_pass_a_closed_limit():
    """They neither wait nor count."""
    limit = RateLimit(1, 60.0)
    pipeline = Pipeline("p").source(DummyProducer, limit=limit).process(lambda envelope: None, concurrency=1)
    async with running(pipeline, timeout=0.01):
        pipeline.running.sources()[0].push([1, 2])
        assert limit.closed
        assert (await pipeline.test("x").outcome()).successful


@pytest.mark.case(109)
async def test_the_drain_order():
    """7 events, batches of 5: prepare_for_draining, all handled, a batch by size and one by flush, all acknowledged."""
    acks, order = Acks(), []

    class Source(DummyProducer):
        def prepare_for_draining(self):
            order.append("prepare")

        async def on_stop(self, reason):
            order.append(("source", reason))

    def handle(envelope):
        order.append(envelope.data)

    pipeline = Pipeline("p").source(Source).process(handle, concurrency=1)
    pipeline.batch("db", lambda given, info: order.append((info.size, info.trigger)), size=5, timeout=60)
    await pipeline.start()
    await settle()
    source = pipeline.running.sources()[0]
    source.push([Envelope(number, acknowledger=acks, ref=number) for number in span(1, 7)])
    await pipeline.stop()
    assert order[0] == "prepare"
    assert [entry for entry in order if isinstance(entry, int)] == span(1, 7)
    assert [entry for entry in order if isinstance(entry, tuple)] == [(5, "size"), (2, "flush"), ("source", SHUTDOWN)]
    assert sorted(ref for ref, *_ in acks.calls) == span(1, 7)
    assert acks.released == []
    await pipeline.stop()


@pytest.mark.case(109)
async def test_a_source_may_be_asked_after_it_started_draining():
    """It has to fetch nothing then; what it holds leaves first."""
    seen = []
    pipeline = Pipeline("p").source(DummyProducer, count=2)
    pipeline.process(lambda envelope: seen.append(envelope.data), concurrency=1, max_demand=1, min_demand=0)
    await pipeline.start()
    pipeline.running.sources()[1].push(span(1, 20))
    await pipeline.stop()
    assert seen == span(1, 20)


@pytest.mark.case(110)
async def test_the_budget_of_a_stop_is_kept_and_what_is_unfinished_goes_back():
    """One millisecond, a handler that sleeps: two events come back, none is lost."""
    acks = Acks()

    async def handle(envelope):
        await asyncio.Event().wait()

    pipeline = Pipeline("p").source(DummyProducer).process(handle, concurrency=1)
    await pipeline.start()
    await settle()
    pipeline.push([Envelope(number, acknowledger=acks) for number in (1, 2)])
    await settle()
    async with asyncio.timeout(60):
        await pipeline.stop(timeout=0.001)
    assert acks.released == [1, 2]
    assert acks.calls == []


@pytest.mark.case(110)
async def test_topology_names_and_reasons():
    """Layers with their names in one register; ended pipelines are gone from it."""
    names = Names()
    pipeline = Pipeline("p", names=names).source(DummyProducer, count=2).process(print, concurrency=3)
    pipeline.batch("db", print, concurrency=2)
    async with running(pipeline):
        topology = pipeline.running.topology()
        assert {layer_name: len(found) for layer_name, found in topology.items()} == {
            "source": 2,
            "processor": 3,
            "batcher db": 1,
            "worker db": 2,
        }
        assert all(name in names for found in topology.values() for name in found)
    assert not any(name in names for found in topology.values() for name in found)
    assert await pipeline.running.wait() is SHUTDOWN


async def test_cancelling_a_stop_kills_the_pipeline():
    """Cancellation is not swallowed, and nothing keeps running."""

    async def handle(envelope):
        await asyncio.Event().wait()

    pipeline = Pipeline("p").source(DummyProducer).process(handle, concurrency=1)
    await pipeline.start()
    await settle()
    pipeline.push([1])
    await settle()
    stopping = asyncio.ensure_future(pipeline.stop())
    await settle()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_run_waits_for_a_source_that_crashed_and_came_back():
    """Each new source starts from its factory; the pipeline ends when one has ended quietly."""
    seen, made = [], []

    def numbers():
        yield 1
        if len(made) < 3:
            raise ValueError
        yield 2

    def make():
        made.append(1)
        return from_iterable(numbers())

    pipeline = Pipeline("p").source(make).process(lambda envelope: seen.append(envelope.data), concurrency=1)
    async with asyncio.timeout(60):
        await pipeline.run()
    assert seen == [1, 1, 1, 2]
