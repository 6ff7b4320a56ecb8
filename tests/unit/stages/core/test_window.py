"""Group A: automatic and manual demand."""

import asyncio

import pytest

from penstock.stages import BadOption, BroadcastDispatcher, DemandWindow, Subscription

from ..doubles import Counter, Doubler, Manual, Raw, Recorder, Sleeper, settle, span, turns


def split(maximum, minimum, outstanding, count):
    window = DemandWindow(maximum, minimum)
    window.outstanding = outstanding
    return window.split(count), window.outstanding


@pytest.mark.case(1)
async def test_default_demand_brings_batches_of_500(house):
    """1000 are asked for; a batch is at most half of them."""
    counter, recorder = Counter(), Recorder()
    await recorder.subscribe(counter)
    recorder.limit = 2
    await house(counter, recorder)
    await settle()
    assert recorder.batches == [span(0, 499), span(500, 999)]


@pytest.mark.case(2)
async def test_a_batch_is_at_most_maximum_minus_minimum(house):
    """M=100, m=80: batches of 20."""
    counter, recorder = Counter(), Recorder()
    await recorder.subscribe(counter, max_demand=100, min_demand=80)
    recorder.limit = 60
    await house(counter, recorder)
    await settle()
    assert recorder.batches == [span(start, start + 19) for start in range(0, 1200, 20)]


@pytest.mark.case(4)
async def test_one_at_a_time_never_has_two_outstanding(house):
    """M=1, m=0, subscribed without waiting."""
    counter, recorder = Counter(), Recorder()
    recorder.subscribe_nowait(counter, max_demand=1, min_demand=0)
    recorder.limit = 3
    await house(counter, recorder)
    await settle()
    assert recorder.batches == [[0], [1], [2]]
    assert set(counter.demands) == {1}


@pytest.mark.case(5)
async def test_demand_tops_up_to_the_maximum_when_it_falls_to_the_minimum(house):
    """M=1000, m=750, a hundred at a time: 1000, then 300 after every third."""
    manual, recorder = Manual(), Recorder()
    await house(manual, recorder)
    await recorder.subscribe(manual, max_demand=1000, min_demand=750)
    seen = []
    for start in range(0, 600, 100):
        await manual.emit(span(start, start + 99))
        await settle()
        seen.append(list(manual.demands))
    assert seen == [[1000], [1000], [1000, 300], [1000, 300], [1000, 300], [1000, 300, 300]]
    assert [len(batch) for batch in recorder.batches] == [100] * 6


@pytest.mark.case(7)
@pytest.mark.parametrize(
    ("window", "batches", "outstanding"),
    [
        ((10, 5, 10, 10), [(5, 5), (5, 5)], 10),
        ((10, 5, 10, 3), [(3, 0)], 7),
        ((10, 5, 7, 3), [(3, 6)], 10),
        ((100, 20, 100, 100), [(80, 80), (20, 0)], 80),
        ((1, 0, 1, 1), [(1, 1)], 1),
        ((7, 3, 7, 7), [(4, 4), (3, 0)], 4),
        ((7, 3, 4, 4), [(4, 7)], 7),
        ((4, 2, 4, 7), [(2, 2), (2, 2), (2, 0), (1, 0)], 4),
    ],
)
def test_a_delivery_is_cut_from_its_head_and_a_batch_carries_its_ask(window, batches, outstanding):
    """The split function, number by number."""
    assert split(*window) == (batches, outstanding)


def test_take_agrees_with_split_for_a_single_batch():
    """The short way for deliveries of one batch is no second algorithm."""
    for maximum in range(1, 9):
        for minimum in range(maximum):
            for outstanding in range(1, maximum + 1):
                for count in range(1, min(outstanding, maximum - minimum) + 1):
                    window = DemandWindow(maximum, minimum)
                    window.outstanding = outstanding
                    ask = window.take(count)
                    assert split(maximum, minimum, outstanding, count) == ([(count, ask)], window.outstanding)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "10"])
def test_a_maximum_is_an_integer_of_at_least_one(wrong):
    """The error names the option and the rule."""
    with pytest.raises(BadOption, match="max_demand must be an integer greater than or equal to 1"):
        DemandWindow(wrong)


@pytest.mark.parametrize("minimum", [-1, 10, 11, 2.5, True])
def test_a_minimum_is_an_integer_from_zero_to_below_the_maximum(minimum):
    """At the maximum every batch would be empty."""
    with pytest.raises(BadOption, match="min_demand must be"):
        DemandWindow(10, minimum)
    assert (DemandWindow(10, 0).step, DemandWindow(10, 9).step, DemandWindow(10).minimum) == (10, 1, 5)


def test_a_batch_beyond_all_demand_asks_for_nothing():
    """It was never asked for, so its processing frees no demand; half of one frees only the counted half."""
    window = DemandWindow(4, 2)
    assert (window.take(2), window.outstanding) == (0, 0)
    assert window.open() == 4
    assert (window.take(5), window.outstanding) == (4, 4)


@pytest.mark.case(8)
async def test_events_in_excess_are_processed_but_add_no_demand(house, caplog):
    """7 events for an ask of 4: batches 2, 2, 2, 1; asks 2 and 2; one warning."""
    raw, recorder = Raw(), Recorder()
    await house(recorder)
    subscription = await recorder.subscribe(raw, max_demand=4, min_demand=2)
    recorder.receive_events(subscription, span(1, 7))
    await settle()
    assert recorder.batches == [[1, 2], [3, 4], [5, 6], [7]]
    assert raw.asks() == [4, 2, 2]
    assert [record.message for record in caplog.records if "excess=3" in record.message]


@pytest.mark.case(10)
async def test_two_producers_are_asked_independently(house):
    """Each subscription has its own window; a producer that gives nothing does not slow the other."""
    slow, fast, recorder = Manual(), Counter(), Recorder()
    recorder.limit = 50
    await house(slow, fast, recorder)
    await recorder.subscribe(slow, max_demand=10)
    await recorder.subscribe(fast, max_demand=10)
    await settle()
    assert slow.demands == [10]
    assert fast.demands[0] == 10
    assert len(recorder.batches) == 50


@pytest.mark.case(11)
async def test_manual_mode_asks_only_what_it_is_asked_for(house):
    """A delivery is one batch, whatever its size; ask(0) sends nothing."""
    counter, recorder = Counter(), Recorder()
    await house(counter, recorder)
    subscription = await recorder.subscribe(counter, mode="manual")
    await settle()
    assert counter.demands == []
    subscription.ask(50)
    await settle()
    subscription.ask(50)
    await settle()
    subscription.ask(0)
    await settle()
    assert recorder.batches == [span(0, 49), span(50, 99)]
    assert counter.demands == [50, 50]
    with pytest.raises(BadOption, match="greater than or equal to 0, got -1"):
        subscription.ask(-1)


@pytest.mark.case(11)
async def test_manual_mode_may_be_chosen_by_on_subscribe_and_from_the_start(house):
    """The consumer's callback decides over the options, also for subscriptions made before start."""
    counter = Counter()
    recorder = Recorder(subscribe_to=[counter])
    recorder.mode = "manual"
    await house(counter, recorder)
    await settle()
    assert counter.demands == []
    recorder.subscriptions()[0].ask(3)
    await settle()
    assert recorder.batches == [[0, 1, 2]]


@pytest.mark.case(12, 13)
async def test_a_broadcast_waits_for_the_consumer_that_never_asks(house):
    """Nobody receives anything until the silent subscriber leaves; then both get the same events."""
    counter = Counter(1000, dispatcher=BroadcastDispatcher())
    one, two, raw = Recorder(), Recorder(), Raw()
    await house(counter, one, two)
    silent = raw.subscribe(counter)
    for recorder in (one, two):
        recorder.limit = 1
        await recorder.subscribe(counter, max_demand=10, min_demand=0)
    await settle()
    assert one.batches == two.batches == []
    silent.cancel()
    await settle()
    assert one.batches == two.batches == [span(1000, 1009)]
    assert raw.batches() == []


@pytest.mark.case(14)
async def test_a_broadcast_asks_its_producer_once_for_the_common_demand(house):
    """M=10 and M=20: the producer sees 10, once."""
    manual = Manual(dispatcher=BroadcastDispatcher())
    one, two = Sleeper(), Sleeper()
    await house(manual, one, two)
    await one.subscribe(manual, max_demand=10)
    await two.subscribe(manual, max_demand=20)
    await settle()
    assert manual.demands == [10]


async def test_asks_are_never_summed(house):
    """10 and 5 asked in the same instant are two demands (the article's E12)."""
    manual, one, two = Manual(), Recorder(), Recorder()
    await house(manual, one, two)
    first = await one.subscribe(manual, mode="manual")
    second = await two.subscribe(manual, mode="manual")
    first.ask(10)
    second.ask(5)
    await settle()
    assert manual.demands == [10, 5]


async def test_asks_that_wait_together_may_be_coalesced(house):
    """On request: one statement that claims fifteen beats two."""
    manual, one, two = Manual(coalesce_demand=True), Recorder(), Recorder()
    await house(manual, one, two)
    first = await one.subscribe(manual, mode="manual")
    second = await two.subscribe(manual, mode="manual")
    first.ask(10)
    second.ask(5)
    await settle()
    assert manual.demands == [15]
    first.ask(1)
    await settle()
    assert manual.demands == [15, 1]


async def test_the_demand_of_a_batch_is_sent_after_that_batch_not_after_the_delivery(house):
    """Of ten events in two batches, five are asked for again while the second batch waits."""
    counter, recorder = Counter(), Recorder()
    recorder.limit = 2
    await house(counter, recorder)
    await recorder.subscribe(counter, max_demand=10, min_demand=5)
    await settle()
    assert recorder.batches == [span(0, 4), span(5, 9)]
    assert counter.demands == [10, 5]


async def test_a_full_mailbox_does_not_starve_other_tasks(house):
    """A stage with much to do gives turns to others."""
    recorder, raw = Recorder(), Raw()
    await house(recorder)
    subscription = await recorder.subscribe(raw, mode="manual")
    for number in range(1000):
        recorder.receive_events(subscription, [number])
    await turns(3)
    assert 0 < len(recorder.batches) < 1000
    await settle()
    assert len(recorder.batches) == 1000


async def test_subscribe_and_stop_inside_a_callback_do_not_deadlock(house):
    """Subscribe and stop from within a stage's own callback run inline."""
    counter, doubler = Counter(), Doubler()

    class Late(Recorder):
        async def on_start(self) -> None:
            self.link: Subscription = await self.subscribe(doubler, max_demand=4)

        async def handle_events(self, events, subscription) -> None:
            await super().handle_events(events, subscription)
            await self.stop()

    await doubler.subscribe(counter, max_demand=4)
    late = Late()
    await house(counter, doubler, late)
    async with asyncio.timeout(60):
        await late.wait()
    assert late.batches == [[0, 0]]
