"""Group M: batches, partitions, options, telemetry."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import (
    BadOption,
    BatchInfo,
    DummyProducer,
    Envelope,
    Pipeline,
    from_iterable,
)
from penstock.stages.pipeline.plan import default_concurrency

from ..doubles import settle, span
from .test_pipeline import Acks, envelopes, running, simple


@pytest.mark.case(92)
@pytest.mark.parametrize("broken", ["raises", "wrong", "fewer"])
async def test_a_batch_handler_that_fails_fails_the_whole_batch(broken, caplog):
    """Returning fewer is logged, and what came back is acknowledged; the rest goes back."""
    acks = Acks()

    def store(given, info):
        if broken == "raises":
            raise ValueError
        return 5 if broken == "wrong" else given[:1]

    pipeline = simple().batch("db", store, size=2)
    async with running(pipeline):
        pipeline.push(envelopes(acks, "r", "r"))
        await settle()
    if broken == "fewer":
        assert acks.calls == [("r", [1], [])]
        assert acks.released == [2]
        assert "received=2" in caplog.text
    else:
        assert acks.calls == [("r", [], [1, 2])]


@pytest.mark.case(94)
async def test_batches_by_size_in_two_batchers():
    """1..40: odd in tens, even in fives, all triggered by size."""
    batches = []

    def store(given, info):
        batches.append((info.batcher, info.size, info.trigger, [one.data for one in given]))

    def sort(envelope):
        return envelope.to_batcher("odd" if envelope.data % 2 else "even")

    pipeline = simple(sort).batch("odd", store, size=10).batch("even", store, size=5)
    async with running(pipeline):
        pipeline.push([Envelope(number) for number in span(1, 40)])
        await settle()
        assert sorted((name, size, trigger) for name, size, trigger, _ in batches) == [
            *[("even", 5, "size")] * 4,
            *[("odd", 10, "size")] * 2,
        ]
    assert sorted(number for *_, numbers in batches for number in numbers) == span(1, 40)


@pytest.mark.case(94)
@pytest.mark.looptime
async def test_a_batch_is_passed_on_when_its_time_is_over():
    """The timer starts with the first event of the batch, and is cancelled by the size."""
    batches = []

    def store(given, info):
        batches.append((info.trigger, info.size, round(asyncio.get_running_loop().time() - started, 3)))

    async with running(simple().batch("db", store, size=3, timeout=2.0)) as pipeline:
        started = asyncio.get_running_loop().time()
        pipeline.push([Envelope(1), Envelope(2)])
        await asyncio.sleep(1.5)
        pipeline.push([Envelope(3), Envelope(4)])
        await asyncio.sleep(5)
    assert batches == [("size", 3, 1.5), ("timeout", 1, 3.5)]


@pytest.mark.case(94)
async def test_a_batch_key_separates_batches_inside_one_batcher():
    """Only events with equal keys share a batch."""
    batches = []

    def store(given, info):
        batches.append((info.key, [one.data for one in given]))

    def by_key(envelope):
        return envelope.to_batcher("db", key="ab"[envelope.data % 2])

    async with running(simple(by_key).batch("db", store, size=2)) as pipeline:
        pipeline.push([Envelope(number) for number in span(1, 8)])
        await settle()
    assert sorted(batches) == [("a", [2, 4]), ("a", [6, 8]), ("b", [1, 3]), ("b", [5, 7])]


@pytest.mark.case(94)
async def test_a_splitter_ends_batches_by_weight(caplog):
    """(state, envelope) -> (ends here?, state); one that raises ends the batch."""
    batches = []

    def weigh(state, envelope):
        if envelope.data == 99:
            raise ValueError
        state += envelope.data
        return state >= 10, state

    pipeline = simple().batch(
        "db",
        lambda given, info: batches.append([one.data for one in given]),
        splitter=weigh,
        splitter_state=0,
        max_demand=50,
    )
    async with running(pipeline):
        pipeline.push([Envelope(number) for number in (4, 5, 1, 20, 3, 99)])
        await settle()
    assert batches == [[4, 5, 1], [20], [3, 99]]


@pytest.mark.case(95)
@pytest.mark.parametrize(("mode", "sizes"), [("flush", [1, 1, 1, 1, 1]), ("bulk", [2, 2, 1])])
async def test_flush_does_not_wait_for_a_full_batch(mode, sizes):
    """Five events, batches of two."""
    seen = []
    pipeline = simple().batch("db", lambda given, info: seen.append((info.size, info.trigger)), size=2, timeout=0.02)
    async with running(pipeline):
        caller = pipeline.test(1, 2, 3, 4, 5, mode=mode)
        acked = []
        while sum(acked) < 5:
            acked.append(len((await caller.outcome()).successful))
    assert [size for size, _ in seen] == sizes == acked
    assert {trigger for _, trigger in seen} == ({"flush"} if mode == "flush" else {"size", "timeout"})


@pytest.mark.case(96)
async def test_an_unknown_batcher_fails_its_event():
    """And an event that names none goes to the first."""
    seen = []
    pipeline = simple(lambda envelope: envelope.to_batcher("other") if envelope.data == 1 else None)
    pipeline.batch("db", lambda given, info: seen.extend(one.data for one in given), size=1)
    async with running(pipeline):
        caller = pipeline.test(1, 2)
        outcomes = [await caller.outcome(), await caller.outcome()]
    failed = [one for outcome in outcomes for one in outcome.failed]
    assert seen == [2]
    assert "batchers ('db',)" in str(failed[0].reason)


@pytest.mark.case(99)
@pytest.mark.parametrize("layer", ["process", "batch"])
async def test_partition_by_keeps_the_order_of_each_key(layer):
    """Equal numbers go to the same processor, or worker, in order."""
    seen = {}

    def note(number):
        seen.setdefault(number % 4, []).append((asyncio.current_task().get_name(), number))

    options = {"concurrency": 2, "partition_by": lambda envelope: envelope.data % 4}
    pipeline = Pipeline("keyed").source(lambda: from_iterable(range(100)))
    if layer == "process":
        pipeline.process(lambda envelope: note(envelope.data), **options)
    else:
        pipeline.process(lambda envelope: None, concurrency=1)
        pipeline.batch("db", lambda given, info: [note(one.data) for one in given] and None, size=5, **options)
    await pipeline.run()
    for key, notes in seen.items():
        assert [number for _, number in notes] == list(range(key, 100, 4))
        assert len({task for task, _ in notes}) == 1
    assert len({task for notes in seen.values() for task, _ in notes}) == 2


@pytest.mark.case(100)
def test_defaults_and_wrong_options_name_their_path():
    """Two processors per core, demand 10, one worker per batcher."""
    pipeline = Pipeline("orders").source(DummyProducer).process(print).batch("db", print)
    plan = pipeline._plan()
    assert (plan.source.count, plan.process.concurrency) == (1, default_concurrency())
    assert (plan.process.max_demand, plan.process.min_demand) == (10, None)
    batch = plan.batches[0]
    assert (batch.batching.size, batch.batching.timeout, batch.concurrency, batch.window) == (100, 1.0, 1, 100)
    for wrong, match in (
        (lambda: Pipeline("p").source(5), r"pipeline 'p': source: option make"),
        (lambda: Pipeline("p").source(DummyProducer, count=0), r"pipeline 'p': source: option count"),
        (lambda: Pipeline("p").process(5), r"pipeline 'p': process: option handle"),
        (lambda: Pipeline("p").process(print, concurrency=0), r"process: option concurrency"),
        (lambda: Pipeline("p").process(print, min_demand=10), r"process: option min_demand must be at most 9"),
        (lambda: Pipeline("p").batch("db", print, size=0), r"batch 'db': option size"),
        (lambda: Pipeline("p").batch("db", print, timeout=0), r"batch 'db': option timeout"),
        (lambda: Pipeline("p").batch("db", print, splitter=print), r"max_demand must be given with a splitter"),
        (lambda: Pipeline("p").batch("x", print).batch("x", print), r"name must be unique"),
    ):
        with pytest.raises(BadOption, match=match):
            wrong()


@pytest.mark.case(100)
async def test_a_pipeline_without_a_part_does_not_start():
    """The missing part is named; a source that is no producer too."""
    with pytest.raises(BadOption, match="source must be given before start"):
        await Pipeline("p").start()
    with pytest.raises(BadOption, match="process must be given before start"):
        await Pipeline("p").source(DummyProducer).start()
    with pytest.raises(BadOption, match="has not been started"):
        Pipeline("p").push([1])
    with pytest.raises(BadOption, match="a function that returns a new producer, got 5"):
        await Pipeline("p").source(lambda: 5).process(print).start()


@pytest.mark.case(101)
async def test_telemetry_reports_spans_in_pairs(caplog):
    """Start and stop of processor, processor.event, batcher and batch worker; an exception of a raising handler."""
    reported = []

    def listen(name, measurements, metadata):
        reported.append((name, dict(measurements), dict(metadata)))
        if name == "batcher.start":
            raise ValueError("listener broke")

    def handle(envelope):
        if envelope.data == 2:
            raise ValueError

    pipeline = Pipeline("p", telemetry=listen, context="ctx").source(DummyProducer).process(handle, concurrency=1)
    pipeline.batch("db", lambda given, info: None, size=1).on_failed(lambda failed: None)
    async with running(pipeline):
        caller = pipeline.test(1, 2)
        await caller.outcome()
        await caller.outcome()
    names = [name for name, *_ in reported]
    for span_name in ("processor", "batcher", "batch_worker", "on_failed"):
        assert names.count(f"{span_name}.start") == names.count(f"{span_name}.stop") > 0
    assert names.count("processor.event.start") == 2
    assert names.count("processor.event.stop") == names.count("processor.event.exception") == 1
    assert names[0] == "topology.init"
    assert reported[0][2]["topology"]["source"] == [("p", "source", 0)]
    stopped = next(entry for entry in reported if entry[0] == "processor.stop")
    assert stopped[1]["duration"] >= 0
    assert {"topology_name", "name", "index", "context", "successful", "failed"} <= set(stopped[2])
    assert stopped[2]["context"] == "ctx"
    assert "listener failed for batcher.start" in caplog.text


@pytest.mark.case(102)
def test_batch_info_says_what_a_batch_is():
    """Frozen; batcher, key, partition, size, trigger."""
    info = BatchInfo("db", None, None, 3, "size")
    with pytest.raises(AttributeError):
        info.size = 4
    with pytest.raises(BadOption, match="'bulk' or 'flush'"):
        Envelope(1).to_batcher("db", mode="later")
