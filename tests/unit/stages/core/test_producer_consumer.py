"""Group B: the producer-consumer and its inbound queue."""

import asyncio

import pytest

from penstock.stages import BroadcastDispatcher

from ..doubles import Counter, Discarder, Doubler, Manual, Postponer, Raw, Recorder, dbl, inlet, settle, span


async def chain(house, middle, *, consumer_first: bool = False, upstream=None, downstream=None):
    """Counter -> middle -> Recorder."""
    counter, recorder = Counter(), Recorder()
    await house(counter, middle, recorder)
    recorder.limit = 60
    if consumer_first:
        await recorder.subscribe(middle, **(downstream or {}))
        await middle.subscribe(counter, **(upstream or {}))
    else:
        await middle.subscribe(counter, **(upstream or {}))
        await recorder.subscribe(middle, **(downstream or {}))
    await settle()
    return counter, recorder


@pytest.mark.case(15, 17)
@pytest.mark.parametrize("consumer_first", [False, True])
async def test_min_80_percent(house, consumer_first):
    """M=100, m=80 on both sides: batches of 20 all the way."""
    doubler = Doubler()
    window = {"max_demand": 100, "min_demand": 80}
    _, recorder = await chain(
        house, doubler, consumer_first=consumer_first, upstream=window, downstream={"max_demand": 100, "min_demand": 50}
    )
    assert doubler.batches[:2] == [span(0, 19), span(20, 39)]
    assert recorder.events[:200] == dbl(0, 99)


@pytest.mark.case(16, 17)
@pytest.mark.parametrize("consumer_first", [False, True])
async def test_min_20_percent(house, consumer_first):
    """The first batch upstream is 80, downstream 50 at a time."""
    doubler = Doubler()
    window = {"max_demand": 100, "min_demand": 20}
    _, recorder = await chain(
        house, doubler, consumer_first=consumer_first, upstream=window, downstream={"max_demand": 100, "min_demand": 50}
    )
    assert doubler.batches[0] == span(0, 79)
    assert span(100, 179) in doubler.batches
    assert recorder.batches[:3] == [dbl(0, 24), dbl(25, 49), dbl(50, 74)]


@pytest.mark.case(18)
async def test_events_emitted_from_an_info_flow_like_returned_ones(house):
    """A stage that postpones its work to a message of its own loses nothing."""
    postponer = Postponer()
    _, recorder = await chain(house, postponer, upstream={"max_demand": 10}, downstream={"max_demand": 10})
    assert recorder.events == span(0, len(recorder.events) - 1)
    assert len(recorder.events) > 100


@pytest.mark.case(19)
async def test_a_stage_that_emits_nothing_keeps_being_fed(house):
    """Dropped events do not use up the demand from downstream."""
    counter, recorder = Counter(), Recorder()

    class Enough(Discarder):
        def turn(self, events):
            if len(self.batches) == 60:
                self.leave("enough")
            return []

    enough = Enough()
    await house(counter, enough, recorder)
    await recorder.subscribe(enough, max_demand=100)
    await enough.subscribe(counter, max_demand=100, min_demand=80)
    await enough.wait()
    assert enough.batches[50] == span(1000, 1019)
    assert recorder.batches == []


@pytest.mark.case(20)
async def test_a_broadcasting_doubler_serves_the_common_demand(house):
    """M10 and M20, m0: both get the same ten events as one batch."""
    counter, doubler = Counter(200), Doubler(dispatcher=BroadcastDispatcher())
    one, two, raw = Recorder(), Recorder(), Raw()
    one.limit = two.limit = 1
    await house(counter, doubler, one, two)
    silent = raw.subscribe(doubler)
    await one.subscribe(doubler, max_demand=10, min_demand=0)
    await two.subscribe(doubler, max_demand=20, min_demand=0)
    await doubler.subscribe(counter, max_demand=5, min_demand=0)
    await settle()
    assert one.batches == two.batches == []
    silent.cancel()
    await settle()
    assert one.batches[0] == two.batches[0] == dbl(200, 204)


@pytest.mark.case(21, 22)
async def test_a_delivery_is_processed_whole_and_the_surplus_is_buffered(house):
    """One of eight is asked for: one is delivered, seven wait; the next delivery is not touched before they left."""
    manual, doubler, recorder = Manual(), Doubler(), Recorder()
    await house(manual, doubler, recorder)
    await doubler.subscribe(manual, max_demand=4, min_demand=0)
    link = await recorder.subscribe(doubler, mode="manual")
    await settle()
    manual.push(span(1, 4))
    await settle()
    assert manual.demands == [4]
    assert doubler.batches == []
    assert inlet(doubler).waiting == 4
    link.ask(1)
    await settle()
    assert doubler.batches == [span(1, 4)]
    assert recorder.events == [1]
    assert doubler.estimate_buffered() == 7
    assert manual.demands == [4, 4]
    manual.push(span(5, 8))
    link.ask(6)
    await settle()
    assert doubler.batches == [span(1, 4)]
    assert doubler.estimate_buffered() == 1
    link.ask(2)
    await settle()
    assert recorder.events == [*dbl(1, 4), 5]
    assert doubler.batches == [span(1, 4), span(5, 8)]


async def test_a_consumer_that_left_does_not_let_events_pile_up(house):
    """With nobody asking, what arrives stays unprocessed: the demand of the one that left is not spent on nobody."""
    manual, doubler, one, two = Manual(), Doubler(), Recorder(), Recorder()
    await house(manual, doubler, one, two)
    await doubler.subscribe(manual, max_demand=4, min_demand=0)
    (await one.subscribe(doubler, mode="manual")).ask(10)
    await settle()
    await one.stop()
    manual.push(span(1, 4))
    await settle()
    assert doubler.batches == []
    (await two.subscribe(doubler, mode="manual")).ask(3)
    await settle()
    assert two.events == [1, 1, 2]
    assert doubler.estimate_buffered() == 5


async def test_outcomes_pushed_later_by_plain_callbacks_flow(house):
    """A manual producer-consumer that starts work and pushes results from done-callbacks, as a pool does."""
    counter, recorder = Counter(), Recorder()

    class Pool(Doubler):
        async def handle_events(self, events, subscription):
            for event in events:
                asyncio.get_running_loop().call_soon(self.done, event, subscription)
            return []

        def done(self, event, subscription):
            self.push([event * 10])
            if event < 20:
                subscription.ask(1)

    pool = Pool()
    await house(counter, pool, recorder)
    await recorder.subscribe(pool)
    (await pool.subscribe(counter, mode="manual")).ask(3)
    await settle()
    assert recorder.events == [number * 10 for number in range(23)]
