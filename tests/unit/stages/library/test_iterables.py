"""Group H: iterables in, streams out."""

import asyncio
import itertools

import pytest

from penstock.stages import (
    NORMAL,
    BadOption,
    CancelMode,
    Dropped,
    Names,
    NoProducer,
    PartitionDispatcher,
    StageEnded,
    SubscriptionRefused,
    from_iterable,
    stream,
)

from ..doubles import Counter, Manual, Recorder, settle, span


class BoomError(Exception):
    """What a source of a test raises."""


@pytest.mark.case(57, 59)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_finite_iterable_streams_to_its_end(house, asynchronous):
    """0..9 arrive, then the producer ends NORMAL after its last event and the loop ends."""

    async def later():
        for number in range(10):
            yield number

    source = await house(from_iterable(later() if asynchronous else range(10)))
    assert [event async for event in stream(source, max_demand=4)] == span(0, 9)
    assert await source.wait() is NORMAL


@pytest.mark.case(58)
@pytest.mark.parametrize("cancel", [None, CancelMode.PERMANENT, CancelMode.TRANSIENT])
@pytest.mark.parametrize("target", ["unknown", "dead", "refusing"])
async def test_a_stream_without_producer_raises(house, cancel, target):
    """An unknown name, an ended producer, a producer that refuses."""
    producer = await house(Manual(dispatcher=PartitionDispatcher(1)))
    if target == "dead":
        await producer.stop()
    expected = SubscriptionRefused if target == "refusing" else NoProducer
    with pytest.raises(expected):
        async for _ in stream("unknown" if target == "unknown" else producer, names=Names(), cancel=cancel):
            pass


@pytest.mark.case(58)
@pytest.mark.parametrize("target", ["unknown", "dead", "refusing"])
async def test_a_temporary_stream_without_producer_is_empty(house, target):
    """It ends at once."""
    producer = await house(Manual(dispatcher=PartitionDispatcher(1)))
    if target == "dead":
        await producer.stop()
    events = stream("unknown" if target == "unknown" else producer, names=Names(), cancel=CancelMode.TEMPORARY)
    assert [event async for event in events] == []


@pytest.mark.case(58)
async def test_a_wrong_option_of_a_stream_is_refused_when_it_is_made(house):
    """The error names the producer and the option."""
    counter = await house(Counter(name="numbers"))
    with pytest.raises(BadOption, match=r"numbers.*max_demand"):
        stream(counter, max_demand=0)
    with pytest.raises(BadOption, match="unknown_option"):
        stream(counter, unknown_option=1)
    with pytest.raises(BadOption, match="at least one producer"):
        stream()


@pytest.mark.case(59)
@pytest.mark.parametrize(("on_cancel", "alive"), [("continue", True), ("stop", False)])
async def test_an_infinite_iterable_outlives_a_stream_unless_stopped(house, on_cancel, alive):
    """Ten are taken; on_cancel="stop" ends the producer when its last consumer has left."""
    source = await house(from_iterable(itertools.count(), on_cancel=on_cancel))
    taken = []
    async with stream(source, max_demand=5) as events:
        async for event in events:
            taken.append(event)
            if len(taken) == 10:
                break
    await settle()
    assert taken == span(0, 9)
    assert (source.reason is None) is alive
    assert source.consumers() == ()


async def test_a_stream_asks_only_as_it_is_consumed(house):
    """Nothing is taken beyond the window, and what was not consumed goes back."""
    taken = []

    def source():
        for number in itertools.count():
            taken.append(number)
            yield number

    producer = await house(from_iterable(source()))
    released = []
    producer.on_released = lambda events, why: released.append((list(events), why))
    async with stream(producer, max_demand=4, min_demand=2) as events:
        async for event in events:
            await settle()
            if event == 0:
                assert taken == span(0, 3)
            if event == 3:
                break
    await settle()
    assert taken == span(0, 5)
    assert released == [([4, 5], Dropped.LATE)]


async def test_batches_of_a_stream_are_at_most_a_step(house):
    """max_demand - min_demand events each."""
    source = await house(from_iterable(range(10)))
    assert [list(batch) async for batch in stream(source, max_demand=6, min_demand=3).batches()] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9],
    ]


async def test_several_producers_stream_together(house):
    """By object and by name, until the last has ended."""
    names = Names()
    one, two = from_iterable(range(3)), from_iterable("abc", name="letters", names=names)
    await house(one, two)
    assert sorted(map(str, [event async for event in stream(one, "letters", names=names)])) == list("012abc")


async def collect(events, into):
    """Note the events one by one, so that those before an error are seen."""
    async for event in events:
        into.append(event)


async def test_a_stream_raises_what_its_producer_died_of(house):
    """An exception as itself; any other reason as StageEnded. Permanent: also a quiet end."""

    def source():
        yield 1
        raise BoomError

    got: list[int] = []
    broken = await house(from_iterable(source()))
    with pytest.raises(BoomError):
        await collect(stream(broken), got)
    assert got == [1]
    ended = await house(from_iterable([1]))
    with pytest.raises(StageEnded, match="NORMAL"):
        await collect(stream(ended, cancel=CancelMode.PERMANENT), got)
    assert got == [1, 1]


async def test_an_async_iterable_is_awaited_without_blocking_its_stage(house):
    """Cancels and calls are served while the next item is not there; no task is left running."""
    gate = asyncio.Event()

    async def slow():
        yield 1
        await gate.wait()
        yield 2

    source, recorder = from_iterable(slow()), Recorder()
    await house(source, recorder)
    await recorder.subscribe(source, cancel=CancelMode.TEMPORARY)
    await settle()
    assert recorder.events == [1]
    assert source.status().busy is False
    await source.stop()
    assert recorder.reason is None


async def test_an_async_iterable_that_fails_ends_its_producer(house):
    """With what it raised."""

    async def broken():
        yield 1
        raise BoomError

    source, recorder = from_iterable(broken()), Recorder()
    await house(source, recorder)
    await recorder.subscribe(source)
    assert isinstance(await source.wait(), BoomError)
    assert recorder.events == [1]


@pytest.mark.parametrize("wrong", [{"source": 5}, {"source": [], "on_cancel": "perhaps"}])
def test_wrong_options_of_a_source_are_named(wrong):
    """Source and on_cancel."""
    with pytest.raises(BadOption, match=r"source|on_cancel"):
        from_iterable(**wrong)
