"""Group F: subscribing, resubscribing, names, wrong options."""

import pytest

from penstock.stages import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    AlreadyStarted,
    BadOption,
    BroadcastDispatcher,
    CancelMode,
    Dropped,
    ExponentialBackoff,
    Names,
    NoProducer,
    StageEnded,
    SubscriptionOptions,
)

from ..doubles import Counter, Doubler, Manual, Raw, Recorder, inlet, settle, span


@pytest.mark.case(42)
async def test_subscribing_returns_a_new_tag_each_time(house):
    """The same producer twice: two windows, both served."""
    counter, recorder = Manual(), Recorder()
    await house(counter, recorder)
    first = await recorder.subscribe(counter, max_demand=2)
    second = await recorder.subscribe(counter, max_demand=4)
    await settle()
    assert first is not second
    assert counter.demands == [2, 4]


@pytest.mark.case(43)
async def test_wrong_bounds_are_refused_and_the_stage_lives(house):
    """The error names the stage, the option and the rule; the same for resubscribe."""
    counter, recorder = Counter(), Recorder(name="sink")
    await house(counter, recorder)
    with pytest.raises(BadOption, match=r"sink.*max_demand must be an integer greater than or equal to 1, got 0"):
        await recorder.subscribe(counter, max_demand=0)
    with pytest.raises(BadOption, match=r"sink.*min_demand must be at most 999.*got 2000"):
        await recorder.subscribe(counter, min_demand=2000)
    link = await recorder.subscribe(counter, mode="manual")
    with pytest.raises(BadOption, match="min_demand must be an integer greater than or equal to 0, got -1"):
        await recorder.resubscribe(link, NORMAL, min_demand=-1)
    await settle()
    assert recorder.reason is None
    assert link.active


@pytest.mark.parametrize(
    "options",
    [
        {"cancel": "permanent"},
        {"mode": "sideways"},
        {"selector": "no function"},
        {"unknown": 1},
        {"min_demand": 5, "max_demand": 5},
    ],
)
async def test_any_wrong_option_is_refused_by_name(house, options):
    """Nothing is sent, both neighbours live."""
    counter, recorder = Counter(), Recorder()
    await house(counter, recorder)
    with pytest.raises(BadOption, match=next(iter(options))):
        await recorder.subscribe(counter, **options)
    with pytest.raises(BadOption, match="options"):
        await recorder.subscribe(counter, SubscriptionOptions(), max_demand=1)
    with pytest.raises(BadOption, match="another stage"):
        await recorder.subscribe(recorder)
    await settle()
    assert counter.subscribed == []
    assert recorder.reason is None


@pytest.mark.case(44)
@pytest.mark.parametrize("cancel", [CancelMode.PERMANENT, CancelMode.TRANSIENT])
@pytest.mark.parametrize("target", ["a name that nobody has", "an ended producer"])
async def test_no_producer_ends_the_consumer(house, caplog, cancel, target):
    """The tag is returned, then the consumer ends with NoProducer and a line that names the producer."""
    if target == "an ended producer":
        target = await house(Counter(name="an ended producer"))
        await target.stop()
    recorder = await house(Recorder(names=Names()))
    link = await recorder.subscribe(target, cancel=cancel)
    assert link.target is target
    assert isinstance(await recorder.wait(), NoProducer)
    assert str(getattr(target, "name", target)) in caplog.text


@pytest.mark.case(44)
async def test_no_producer_leaves_a_temporary_consumer_alive(house):
    """It idles with a dead tag."""
    recorder = await house(Recorder(names=Names()))
    link = await recorder.subscribe("nobody", cancel=CancelMode.TEMPORARY)
    await settle()
    assert recorder.reason is None
    assert not link.active
    link.ask(5)
    link.cancel()


@pytest.mark.case(45)
async def test_no_producer_at_the_start_is_the_same(house):
    """subscribe_to a name that nobody has."""
    recorder = Recorder(names=Names(), subscribe_to=["nobody"])
    await house(recorder)
    assert isinstance(await recorder.wait(), NoProducer)


@pytest.mark.case(46)
@pytest.mark.parametrize("producer_too", [False, True])
async def test_resubscribe_replaces_the_tag_in_one_turn(house, producer_too):
    """The old subscription is cancelled and a permanent consumer goes on; the new one has other options."""
    counter, other, recorder = Manual(), Manual(), Recorder()
    await house(counter, other, recorder)
    old = await recorder.subscribe(counter, max_demand=10)
    await settle()
    new = await recorder.resubscribe(old, "changed", producer=other if producer_too else None, max_demand=20)
    await settle()
    assert new is not old
    assert not old.active
    assert new.active
    assert recorder.reason is None
    assert [cancellation.reason for cancellation in counter.cancels] == ["changed"]
    assert (other.demands, counter.demands) == (([20], [10]) if producer_too else ([], [10, 10]))
    again = await recorder.resubscribe(old, "unknown by now", max_demand=1)
    await settle()
    assert again.active


@pytest.mark.case(46, 115)
async def test_what_still_arrives_through_an_old_tag_is_released(house):
    """Not processed: the producer that emitted it gets it back."""
    raw, recorder = Raw(), Recorder()
    await house(recorder)
    old = await recorder.subscribe(raw, max_demand=10)
    await recorder.resubscribe(old, NORMAL)
    recorder.receive_events(old, [1, 2])
    await settle()
    assert recorder.batches == []
    assert ("released", [1, 2], Dropped.LATE) in raw.got


@pytest.mark.case(47)
async def test_stages_and_names_are_accepted_as_producers(house):
    """An object, a name, a namespaced name with options."""
    names = Names()
    by_object, by_name, spaced = (
        Counter(),
        Counter(name="plain", names=names),
        Counter(name=("space", "x"), names=names),
    )
    recorder = Recorder(
        names=names, subscribe_to=[by_object, "plain", (("space", "x"), SubscriptionOptions(max_demand=7))]
    )
    recorder.limit = 9
    await house(by_object, by_name, spaced, recorder)
    await settle()
    assert by_object.demands[0] == 1000
    assert by_name.demands[0] == 1000
    assert spaced.demands[0] == 7


async def test_a_name_belongs_to_one_living_stage(house):
    """A second start under it fails; after the stop the name is free."""
    names = Names()
    first = await house(Counter(name="one", names=names))
    with pytest.raises(AlreadyStarted, match="'one' is taken"):
        await Counter(name="one", names=names).start()
    assert names.find("one") is first
    assert first is not None
    await first.stop()
    assert "one" not in names
    await house(Counter(name="one", names=names))


async def test_a_stage_starts_once(house):
    """Started or ended: make a new one."""
    counter = await house(Counter())
    with pytest.raises(AlreadyStarted, match="running"):
        await counter.start()
    await counter.stop()
    with pytest.raises(AlreadyStarted, match="ended"):
        await counter.start()
    recorder = await house(Recorder())
    await recorder.stop()
    with pytest.raises(StageEnded, match="has ended"):
        await recorder.subscribe(Counter())


async def test_a_consumer_that_resubscribes_finds_the_producer_that_came_back(house):
    """By name, after growing delays, and the window starts again."""
    names = Names()
    recorder = await house(Recorder(names=names))
    await recorder.subscribe("source", resubscribe=ExponentialBackoff(base=0.001, cap=0.002, jitter=0), max_demand=10)
    await settle()
    assert inlet(recorder).resubscribing == 1
    first = await house(Manual(name="source", names=names))
    while not first.demands:
        await settle()
    first.push([1, 2])
    await settle()
    first.kill()
    assert await first.wait() is KILLED
    recorder.limit = 10
    second = await house(Counter(name="source", names=names))
    while not second.demands:
        await settle()
    await settle()
    assert second.demands[0] == 10
    assert recorder.reason is None
    assert recorder.events[:4] == [1, 2, 0, 1]


async def test_resubscribing_stops_on_request_and_on_our_own_cancel(house):
    """A drain must not be undone by a producer that comes back."""
    names = Names()
    recorder = await house(Recorder(names=names))
    counter = await house(Manual(name="source", names=names))
    link = await recorder.subscribe("source", resubscribe=ExponentialBackoff(base=0, cap=0))
    await settle()
    link.cancel(SHUTDOWN)
    link.cancel("again does nothing")
    await settle()
    assert inlet(recorder).resubscribing == 0
    assert [cancellation.reason for cancellation in counter.cancels] == [SHUTDOWN]
    link = await recorder.subscribe("source", resubscribe=ExponentialBackoff(base=0, cap=0))
    recorder.stop_resubscribing()
    await counter.stop()
    await settle()
    assert inlet(recorder).resubscribing == 0
    assert recorder.reason is None


@pytest.mark.parametrize("stage", [Recorder, Doubler])
async def test_stages_may_be_wired_before_any_of_them_starts(house, stage):
    """Subscriptions made before start are sent at start, in either order of starting."""
    counter, consumer, sink = Counter(), stage(), Recorder()
    await consumer.subscribe(counter, max_demand=4, min_demand=0)
    sink.limit = consumer.limit = 1
    if stage is Doubler:
        await sink.subscribe(consumer)
    await house(sink, consumer, counter)
    await settle()
    assert consumer.batches[0] == span(0, 3)


async def test_a_broadcast_refuses_the_same_consumer_twice_and_lets_it_live(house, caplog):
    """Already subscribed never ends a consumer."""
    counter, recorder = Manual(dispatcher=BroadcastDispatcher()), Recorder()
    await house(counter, recorder)
    first = await recorder.subscribe(counter)
    second = await recorder.subscribe(counter)
    await settle()
    assert first.active
    assert not second.active
    assert recorder.reason is None
    assert "already subscribes" in caplog.text
