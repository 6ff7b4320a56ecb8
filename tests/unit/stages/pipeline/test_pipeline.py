"""Group M: handlers, batches, acknowledgements, options, telemetry."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio
from contextlib import asynccontextmanager

import pytest

from penstock.stages import (
    Acknowledger,
    BadReturn,
    CallerAcknowledger,
    DummyProducer,
    Envelope,
    Pipeline,
    from_iterable,
)
from penstock.stages.pipeline import NoAcknowledger, acknowledge, acknowledge_now

from ..doubles import settle, span


class Acks(Acknowledger):
    """Notes every call in plain data."""

    def __init__(self):
        self.calls = []
        self.released = []

    def ack(self, ref, successful, failed):
        self.calls.append((ref, [one.data for one in successful], [one.data for one in failed]))

    def release(self, events, why):
        self.released.extend(event.data for event in events)


@asynccontextmanager
async def running(pipeline, **stop):
    """Start, and at last drain and stop; nothing may be left."""
    before = asyncio.all_tasks()
    await pipeline.start()
    await settle()
    try:
        yield pipeline
    finally:
        await pipeline.stop(**stop)
        await settle()
        assert not asyncio.all_tasks() - before


def simple(handle=lambda envelope: None, **options):
    return Pipeline("p").source(DummyProducer).process(handle, concurrency=1, **options)


def envelopes(acks, *refs):
    return [Envelope(number, acknowledger=acks, ref=ref) for number, ref in enumerate(refs, start=1)]


def fail_even(envelope):
    if envelope.data % 2 == 0:
        envelope.fail("even")


@pytest.mark.case(89)
async def test_one_acknowledgement_per_ref_with_the_failed_and_the_successful():
    """r1 and r2 each get their own, in order."""
    acks = Acks()
    async with running(simple(fail_even, max_demand=20, min_demand=0)) as pipeline:
        pipeline.push(envelopes(acks, "r1", "r1", "r2", "r2", "r1", "r2"))
        await settle()
    assert acks.calls == [("r1", [1, 5], [2]), ("r2", [3], [4, 6])]
    assert acks.released == []


@pytest.mark.case(90)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_handler_that_raises_fails_its_event_alone(kind, caplog):
    """The stage survives, the others succeed; handlers may be async."""

    def handle(envelope):
        if envelope.data == 2:
            raise ValueError("two")
        envelope.data *= 10

    async def later(envelope):
        await asyncio.sleep(0)
        handle(envelope)

    async with running(simple(handle if kind == "sync" else later)) as pipeline:
        outcome = pipeline.test(1, 2, 3)
        await settle()
        seen = [await outcome.outcome() for _ in range(outcome.outcomes.qsize())]
        assert sorted(one.data for part in seen for one in part.successful) == [10, 30]
        assert [str(one.reason) for part in seen for one in part.failed] == ["two"]
        assert pipeline.running.status()[1].restarts == 0


@pytest.mark.case(90)
@pytest.mark.parametrize("answer", ["wrong", 5, Envelope("another")])
async def test_a_handler_that_returns_anything_else_fails_its_event(answer):
    """None, or the envelope that it was given."""
    async with running(simple(lambda envelope: answer)) as pipeline:
        outcome = await pipeline.test(1).outcome()
    assert isinstance(outcome.failed[0].reason, BadReturn)


@pytest.mark.case(91)
@pytest.mark.parametrize("broken", ["fewer", "raises", "no"])
async def test_prepare_sees_all_events_first_and_may_fail_them_all(broken):
    """Returning fewer or raising fails the delivery without running the handler."""
    handled, acks = [], Acks()

    async def prepare(given):
        if broken == "raises":
            raise ValueError
        return given[1:] if broken == "fewer" else given

    pipeline = simple(lambda envelope: handled.append(envelope.data), prepare=prepare, max_demand=8, min_demand=0)
    async with running(pipeline):
        pipeline.push(envelopes(acks, "r", "r", "r"))
        await settle()
    if broken == "no":
        assert (handled, acks.calls) == ([1, 2, 3], [("r", [1, 2, 3], [])])
    else:
        assert (handled, acks.calls) == ([], [("r", [], [1, 2, 3])])


@pytest.mark.case(92)
async def test_an_acknowledger_that_raises_is_logged_only(caplog):
    """The next event is served."""

    class Broken(Acks):
        def ack(self, ref, successful, failed):
            super().ack(ref, successful, failed)
            raise ValueError("no ack")

    acks = Broken()
    async with running(simple()) as pipeline:
        pipeline.push(envelopes(acks, "r1"))
        pipeline.push(envelopes(acks, "r2"))
        await settle()
        assert pipeline.running.status()[1].restarts == 0
    assert [ref for ref, _, _ in acks.calls] == ["r1", "r2"]
    assert "no ack" in caplog.text


@pytest.mark.case(93)
async def test_failed_events_are_shown_before_they_are_acknowledged(caplog):
    """on_failed sees them; what it raises is logged only. Failed events go to no batcher."""
    seen, acks, stored = [], Acks(), []

    def on_failed(failed):
        seen.extend(one.data for one in failed)
        assert acks.calls == []
        raise ValueError("on_failed broke")

    pipeline = simple(fail_even).batch("db", lambda given, info: stored.extend(one.data for one in given), size=1)
    async with running(pipeline.on_failed(on_failed)):
        pipeline.push(envelopes(acks, "r", "r"))
        await settle()
    assert seen == [2]
    assert stored == [1]
    assert sorted(acks.calls) == [("r", [], [2]), ("r", [1], [])]
    assert "on_failed raised" in caplog.text


@pytest.mark.case(97)
async def test_what_is_acknowledged_early_is_not_acknowledged_again():
    """A list is split into successful and failed."""
    acks = Acks()

    async def handle(envelope):
        if envelope.data == 1:
            await acknowledge_now([envelope])

    async with running(simple(handle)) as pipeline:
        pipeline.push(envelopes(acks, "r", "r"))
        await settle()
    assert sorted(acks.calls) == [("r", [1], []), ("r", [2], [])]
    both = envelopes(acks, "x", "x")
    both[1].fail("no")
    await acknowledge(both)
    await acknowledge(both)
    assert acks.calls[2:] == [("x", [1], [2])]


@pytest.mark.case(97)
async def test_acknowledging_may_be_configured_where_the_acknowledger_can():
    """Else the event fails."""

    def handle(envelope):
        envelope.configure_ack(later=True)

    async with running(simple(handle)) as pipeline:
        caller = pipeline.test(1)
        outcome = await caller.outcome()
        assert outcome.successful[0].ack_data == {"later": True}
        assert caller.configured == [(None, None, {"later": True})]
        acks = Acks()
        pipeline.push(envelopes(acks, "r"))
        await settle()
    assert acks.calls == [("r", [], [1])]


@pytest.mark.case(98)
async def test_a_test_event_brings_its_outcome_to_the_caller():
    """With metadata; a DummyProducer suffices; ready envelopes may be pushed."""

    def handle(envelope):
        envelope.data = (envelope.data, envelope.metadata["tenant"])

    async with running(simple(handle)) as pipeline:
        outcome = await pipeline.test("x", metadata={"tenant": "t"}).outcome()
        assert (outcome.ref, [one.data for one in outcome.successful], outcome.failed) == (None, [("x", "t")], [])
        own = CallerAcknowledger()
        pipeline.push([Envelope("y", acknowledger=own, ref=7, metadata={"tenant": "u"})])
        assert (await own.outcome()).ref == 7
        with pytest.raises(TimeoutError):
            await own.outcome(timeout=0.001)


@pytest.mark.case(99)
async def test_plain_events_of_any_producer_are_wrapped():
    """Nobody waits for their outcome; a finite source ends the pipeline after its last event."""
    seen = []
    pipeline = Pipeline("numbers").source(lambda: from_iterable(range(25)))
    pipeline.process(lambda envelope: seen.append(envelope.data), concurrency=3)
    await pipeline.run()
    assert sorted(seen) == span(0, 24)
    await settle()
    assert isinstance(Envelope(1).acknowledger, NoAcknowledger)
