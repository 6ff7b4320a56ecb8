"""Group G: wrong values, wrong roles, callbacks that raise; neighbours stay alive."""

import pytest

from penstock.stages import (
    NORMAL,
    AlreadyStarted,
    BadOption,
    BadReturn,
    Cancellation,
    CancelMode,
    DemandDispatcher,
    Dropped,
    Exit,
    NoProducer,
    StageEnded,
    Subscription,
)

from .doubles import Counter, Doubler, Manual, Raw, Recorder, settle


class OopsError(Exception):
    """What a callback of a test raises."""


@pytest.mark.case(49)
async def test_a_producer_cannot_choose_manual_mode(house):
    """It ends with BadReturn, which names the callback."""
    counter, recorder = Counter(), Recorder()
    counter.mode = "manual"
    await house(counter, recorder)
    await recorder.subscribe(counter, cancel=CancelMode.TEMPORARY)
    reason = await counter.wait()
    assert isinstance(reason, BadReturn)
    assert "on_subscribe must return None or 'automatic'" in str(reason)
    await settle()
    assert recorder.cancels == [Cancellation(reason, down=True)]
    assert recorder.reason is None


@pytest.mark.case(49)
async def test_an_unknown_mode_ends_the_consumer_alone(house):
    """The producer lives."""
    counter, recorder = Counter(), Recorder()
    recorder.mode = "sideways"
    await house(counter, recorder)
    with pytest.raises(StageEnded):
        await recorder.subscribe(counter)
    assert isinstance(await recorder.wait(), BadReturn)
    assert counter.reason is None


@pytest.mark.case(54)
@pytest.mark.parametrize("where", ["handle_demand", "on_info", "on_cancel", "on_subscribe", "on_cast"])
async def test_a_callback_that_raises_ends_its_stage_with_that_exception(house, caplog, where):
    """Consumers learn the reason; its events come back."""

    class Broken(Manual):
        pass

    async def broken(self, *_):
        raise OopsError(where)

    setattr(Broken, where, broken)
    producer, transient, temporary = Broken(), Recorder(), Recorder()
    await house(producer, transient, temporary)
    producer.push(["kept"])
    if where != "on_subscribe":
        await temporary.subscribe(producer, cancel=CancelMode.TEMPORARY, mode="manual")
    if where == "on_info":
        (temporary.subscriptions()[0]).ask(1)
        producer.post_info("x")
    if where == "on_cast":
        producer.cast("x")
    await settle()
    link = (
        await transient.subscribe(producer, cancel=CancelMode.TRANSIENT, mode="manual")
        if producer.reason is None
        else None
    )
    if link is not None:
        link.ask(5)
        await settle()
        if where == "on_cancel":
            link.cancel()
    reason = await producer.wait()
    assert isinstance(reason, OopsError)
    assert producer.last_error is reason
    assert producer.stops == [reason]
    await settle()
    assert temporary.reason is None


@pytest.mark.case(54)
async def test_a_consumer_that_raises_releases_its_events(house):
    """The batch it failed on, the rest of the delivery and its mailbox; the producer and other consumers live."""

    class Broken(Recorder):
        async def handle_events(self, events, subscription):
            await super().handle_events(events, subscription)
            raise OopsError

    manual, broken, other = Manual(), Broken(), Recorder()
    await house(manual, broken, other)
    await broken.subscribe(manual, max_demand=4, min_demand=2)
    await settle()
    manual.push([1, 2, 3])
    manual.push([4])
    await settle()
    assert isinstance(broken.reason, OopsError)
    assert broken.batches == [[1, 2]]
    assert manual.released == [([1, 2, 3], Dropped.CONSUMER_DOWN), ([4], Dropped.CONSUMER_DOWN)]
    await other.subscribe(manual)
    manual.push([5])
    await settle()
    assert other.events == [5]


@pytest.mark.parametrize("wrong", [None, 5, "text", {1: 2}])
async def test_a_wrong_return_value_ends_the_stage_by_name(house, wrong):
    """handle_demand and a producer-consumer's handle_events must return a sequence."""

    class Wrong(Manual):
        async def handle_demand(self, demand):
            return wrong

    producer, middle, counter, sink, idle = Wrong(), Doubler(), Counter(), Recorder(), Recorder()
    middle.handle_events = _returning(wrong)  # type: ignore[method-assign]
    await house(producer, middle, counter, sink, idle)
    await middle.subscribe(counter, max_demand=1)
    await sink.subscribe(middle, cancel=CancelMode.TEMPORARY)
    await idle.subscribe(producer, cancel=CancelMode.TEMPORARY)
    assert isinstance(await producer.wait(), BadReturn)
    assert "handle_demand must return a sequence of events" in str(producer.reason)
    assert isinstance(await middle.wait(), BadReturn)
    assert "handle_events must return a sequence of events" in str(middle.reason)
    await settle()
    assert [stage.reason for stage in (counter, sink, idle)] == [None] * 3
    with pytest.raises(BadReturn, match="sequence of events"):
        counter.push(wrong)


def _returning(value):
    async def handle_events(events, subscription):
        return value

    return handle_events


async def test_what_a_consumer_returns_is_dropped_with_an_error(house, caplog):
    """The stage continues."""
    counter, recorder = Counter(), Recorder()
    recorder.handle_events = _returning([1, 2])  # type: ignore[method-assign]
    await house(counter, recorder)
    (await recorder.subscribe(counter, mode="manual")).ask(1)
    await settle()
    assert "cannot emit" in caplog.text
    assert recorder.reason is None


@pytest.mark.case(56)
async def test_protocol_errors_are_answered(house, caplog):
    """Duplicate and unknown tags get a cancel; wrong-role messages are logged and change nothing."""
    manual, recorder, raw = Manual(), Recorder(), Raw()
    await house(manual, recorder)
    link = raw.subscribe(manual)
    manual.receive_subscribe(link)
    manual.receive_ask(Subscription(raw, manual), 3)
    await settle()
    assert raw.cancels() == [Exit.DUPLICATED_SUBSCRIPTION, Exit.UNKNOWN_SUBSCRIPTION]
    assert manual.demands == []
    unknown = Subscription(recorder, raw)
    unknown.producer = raw
    recorder.receive_events(unknown, [1])
    await settle()
    assert recorder.batches == []
    assert raw.got[-2:] == [
        ("released", [1], Dropped.LATE),
        ("unsubscribe", Cancellation(Exit.UNKNOWN_SUBSCRIPTION)),
    ]
    assert caplog.text == ""
    recorder.receive_ask(unknown, 1)
    recorder.receive_unsubscribe(unknown, Cancellation(NORMAL))
    manual.receive_events(link, [1])
    manual.receive_cancel(link, Cancellation(NORMAL))
    await settle()
    assert len([record for record in caplog.records if "is not a " in record.message]) == 4
    assert manual.released == [([1], Dropped.LATE)]
    assert manual.reason is recorder.reason is None


@pytest.mark.case(56)
async def test_a_consumer_cannot_be_subscribed_to(house):
    """The subscription ends with a reason that says so; the other consumer lives."""
    one, two = Recorder(), Recorder()
    await house(one, two)
    await one.subscribe(two, cancel=CancelMode.TEMPORARY)
    await settle()
    assert "is not a producer" in str(one.cancels[0].reason)
    assert one.reason is two.reason is None


async def test_on_start_that_raises_fails_the_start(house):
    """The same exception, and the stage has ended with it."""

    class Broken(Recorder):
        async def on_start(self):
            raise OopsError("no disk")

    broken = Broken()
    with pytest.raises(OopsError, match="no disk"):
        await broken.start()
    assert isinstance(broken.reason, OopsError)


async def test_a_stage_that_is_never_started_can_be_stopped_and_ends_its_consumers(house):
    """What it buffered comes back; its subscribers learn that there is no producer."""
    manual, recorder = Manual(), Recorder()
    await house(recorder)
    manual.push([1])
    await recorder.subscribe(manual)
    await manual.stop(NORMAL)
    assert isinstance(await recorder.wait(), NoProducer)
    assert manual.released == [([1], Dropped.STAGE_ENDED)]


async def test_events_that_nobody_finished_come_back_when_their_holder_ends(house):
    """Inbound, buffered and undelivered events of a producer-consumer that is killed."""
    manual, doubler, recorder = Manual(), Doubler(), Recorder()
    await house(manual, doubler, recorder)
    await doubler.subscribe(manual, max_demand=2, min_demand=0, cancel=CancelMode.TEMPORARY)
    link = await recorder.subscribe(doubler, mode="manual", cancel=CancelMode.TEMPORARY)
    link.ask(1)
    await settle()
    manual.push([1, 2])
    await settle()
    manual.push([3, 4])
    await settle()
    doubler.kill()
    await settle()
    assert recorder.events == [1]
    assert doubler.released == [([1, 2, 2], Dropped.STAGE_ENDED)]
    assert manual.released == [([3, 4], Dropped.CONSUMER_DOWN)]
    with pytest.raises(StageEnded, match="emits no more"):
        doubler.push([5])


async def test_a_consumer_that_died_before_it_was_known_gets_nothing(house):
    """Its subscription waited in the mailbox of a producer that was not started, and emits again what comes back."""

    class Steady(Counter):
        def on_released(self, events, why):
            super().on_released(events, why)
            self.push(events)

    counter, recorder = Steady(), Recorder()
    await house(recorder)
    await recorder.subscribe(counter)
    recorder.kill()
    await recorder.wait()
    await house(counter)
    await settle()
    assert (counter.demands, counter.released, counter.consumers()) == ([], [], ())


async def test_a_dispatcher_belongs_to_one_stage(house):
    """A shared one, or something else, is refused by name; the first owner keeps it."""
    dispatcher = DemandDispatcher()
    first = Counter(name="first", dispatcher=dispatcher)
    with pytest.raises(BadOption, match=r"second.*dispatcher must be its own, not that of <producer first>"):
        Counter(name="second", dispatcher=dispatcher)
    with pytest.raises(BadOption, match="dispatcher must be a Dispatcher, got 'round robin'"):
        Counter(dispatcher="round robin")
    await house(first)
    with pytest.raises(AlreadyStarted, match="dispatcher and gate stay"):
        first.use(dispatcher=DemandDispatcher())
