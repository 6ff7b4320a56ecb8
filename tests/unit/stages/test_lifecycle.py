"""Group G: callbacks, the cancel matrix, calls, protocol errors, status."""

import asyncio

import pytest

from penstock.stages import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    BadReturn,
    Cancel,
    Cancellation,
    Dropped,
    Exit,
    NoProducer,
    Role,
    Shutdown,
    StageEnded,
    State,
    Subscription,
)

from .doubles import Counter, Doubler, Manual, Raw, Recorder, inlet, outlet, settle, span


class OopsError(Exception):
    """What a callback of a test raises."""


@pytest.mark.case(48, 49)
async def test_both_sides_are_told_of_a_subscription(house):
    """The producer with its consumer, the consumer with its producer, and the same tag."""
    counter, recorder = Counter(), Recorder()
    recorder.limit = 1
    await house(counter, recorder)
    link = await recorder.subscribe(counter)
    await settle()
    assert counter.subscribed == [(Role.CONSUMER, link)]
    assert recorder.subscribed == [(Role.PRODUCER, link)]
    assert link.consumer is recorder
    assert link.producer is counter


@pytest.mark.case(49)
async def test_a_producer_cannot_choose_manual_mode(house):
    """It ends with BadReturn, which names the callback."""
    counter, recorder = Counter(), Recorder()
    counter.mode = "manual"
    await house(counter, recorder)
    await recorder.subscribe(counter, cancel=Cancel.TEMPORARY)
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


@pytest.mark.case(50)
@pytest.mark.parametrize("make", [Counter, Doubler])
async def test_a_producer_hears_how_its_consumer_left(house, make):
    """(cancel, oops) on cancel; (down, KILLED) when the consumer's task is killed."""
    producer, recorder = make(), Recorder()
    await house(producer, recorder)
    link = await recorder.subscribe(producer, mode="manual", cancel=Cancel.TEMPORARY)
    link.cancel("oops")
    await settle()
    assert producer.cancels == [Cancellation("oops")]
    assert recorder.cancels == [Cancellation("oops")]
    await recorder.subscribe(producer, mode="manual")
    await settle()
    recorder.kill()
    assert await recorder.wait() is KILLED
    await settle()
    assert producer.cancels[1:] == [Cancellation(KILLED, down=True)]
    assert recorder.stops == [], "a killed stage gets no on_stop"


@pytest.mark.case(51)
async def test_calls_run_between_callbacks_and_answer(house):
    """Also while the stage is held back by demand; what it emits is delivered before the answer."""

    class Asked(Manual):
        async def on_call(self, request):
            self.push([request])
            return len(self.demands)

    asked, recorder = Asked(), Recorder()
    await house(asked, recorder)
    await recorder.subscribe(asked)
    await settle()
    assert await asked.call("x") == 1
    await settle()
    assert recorder.events == ["x"]


@pytest.mark.case(52)
async def test_a_call_may_end_the_stage_and_still_answer(house):
    """on_stop gets the reason; later calls raise StageEnded."""

    class Ending(Recorder):
        async def on_call(self, request):
            await self.stop(SHUTDOWN)
            return "ok"

    ending = await house(Ending())
    assert await ending.call("end") == "ok"
    assert await ending.wait() is SHUTDOWN
    assert ending.stops == [SHUTDOWN]
    with pytest.raises(StageEnded, match="has ended: SHUTDOWN"):
        await ending.call("again")


@pytest.mark.case(52)
async def test_stop_is_normal_and_comes_behind_the_mailbox(house):
    """Events that arrived before the stop are processed; on_stop runs last."""
    raw, recorder = Raw(), Recorder()
    await house(recorder)
    link = await recorder.subscribe(raw, max_demand=10)
    recorder.receive_events(link, [1, 2])
    await recorder.stop()
    assert recorder.events == [1, 2]
    assert recorder.stops == [NORMAL]
    assert raw.got[-1] == ("unsubscribe", Cancellation(NORMAL, down=True))
    await recorder.stop("again does nothing")
    assert recorder.reason is NORMAL


@pytest.mark.case(52)
async def test_the_end_of_another_stage_can_be_watched(house):
    """A watcher may post it as an info."""
    counter, recorder = Counter(), Recorder()
    await house(counter, recorder)
    counter.watch(lambda stage, reason: recorder.post_info((stage, reason)))
    await counter.stop(Shutdown("done"))
    await settle()
    assert recorder.infos == [(counter, Shutdown("done"))]
    counter.watch(lambda stage, reason: recorder.post_info("at once"))
    await settle()
    assert recorder.infos[-1] == "at once"


ENDINGS = [
    (Cancel.TEMPORARY, NORMAL, False),
    (Cancel.TEMPORARY, "oops", False),
    (Cancel.TRANSIENT, NORMAL, False),
    (Cancel.TRANSIENT, SHUTDOWN, False),
    (Cancel.TRANSIENT, Shutdown("x"), False),
    (Cancel.TRANSIENT, "oops", True),
    (Cancel.PERMANENT, NORMAL, True),
    (Cancel.PERMANENT, SHUTDOWN, True),
    (Cancel.PERMANENT, "oops", True),
]


@pytest.mark.case(53)
@pytest.mark.parametrize("make", [Recorder, Doubler])
@pytest.mark.parametrize(("cancel", "reason", "dies"), ENDINGS)
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_the_cancel_matrix(house, make, cancel, reason, dies, how):
    """on_cancel is called first in every mode; the stage dies with the bare reason, or lives."""
    counter, consumer = Counter(), make()
    await house(counter, consumer)
    link = await consumer.subscribe(counter, cancel=cancel, mode="manual")
    await settle()
    if how == "cancel":
        link.cancel(reason)
    else:
        await counter.stop(reason)
    await settle()
    assert consumer.cancels == [Cancellation(reason, down=how == "stop")]
    assert consumer.reason == (reason if dies else None)
    assert (consumer.stops == [reason]) is dies


@pytest.mark.case(53)
@pytest.mark.parametrize("make", [Recorder, Doubler])
@pytest.mark.parametrize("cancel", list(Cancel))
async def test_a_killed_producer_ends_all_but_temporary_consumers(house, make, cancel):
    """(down, KILLED); the neighbours of the dead learn it."""
    counter, consumer = Counter(), make()
    await house(counter, consumer)
    await consumer.subscribe(counter, cancel=cancel, mode="manual")
    await settle()
    counter.kill()
    await settle()
    assert consumer.cancels == [Cancellation(KILLED, down=True)]
    assert consumer.reason is (None if cancel is Cancel.TEMPORARY else KILLED)


@pytest.mark.case(54)
@pytest.mark.parametrize("where", ["handle_demand", "on_info", "on_cancel", "on_subscribe", "on_cast"])
async def test_a_callback_that_raises_ends_its_stage_with_that_exception(house, caplog, where):
    """Consumers learn the reason; events that it held come back."""

    class Broken(Manual):
        pass

    async def broken(self, *_):
        raise OopsError(where)

    setattr(Broken, where, broken)
    producer, transient, temporary = Broken(), Recorder(), Recorder()
    await house(producer, transient, temporary)
    producer.push(["kept"])
    if where != "on_subscribe":
        await temporary.subscribe(producer, cancel=Cancel.TEMPORARY, mode="manual")
    if where == "on_info":
        (temporary.subscriptions()[0]).ask(1)
        producer.post_info("x")
    if where == "on_cast":
        producer.cast("x")
    await settle()
    link = (
        await transient.subscribe(producer, cancel=Cancel.TRANSIENT, mode="manual") if producer.reason is None else None
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
async def test_a_consumer_that_raises_gives_back_what_it_held(house):
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
    await sink.subscribe(middle, cancel=Cancel.TEMPORARY)
    await idle.subscribe(producer, cancel=Cancel.TEMPORARY)
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


@pytest.mark.case(55)
async def test_status_tells_what_a_stage_is_and_holds(house):
    """Producer: dispatcher, consumers, buffer; consumer: producers; producer-consumer: all of it."""
    manual, doubler, recorder = Manual(buffer_size=7, name="source"), Doubler(name="middle"), Recorder(name="sink")
    assert manual.status().state is State.NEW
    await house(manual, doubler, recorder)
    await doubler.subscribe(manual, max_demand=4)
    await recorder.subscribe(doubler)
    await settle()
    status = manual.status()
    assert (status.name, status.kind, status.state, status.busy) == ("source", "producer", State.RUNNING, False)
    assert outlet(manual).dispatcher == "DemandDispatcher"
    assert outlet(manual).consumers == ("<producer-consumer middle>",)
    assert (outlet(manual).buffered, outlet(manual).buffer_size, outlet(manual).demand) == (0, 7, 4)
    assert inlet(doubler).producers == ("<producer source>",)
    assert (inlet(doubler).outstanding, inlet(doubler).waiting) == (4, 0)
    assert outlet(doubler).consumers == ("<consumer sink>",)
    sink = recorder.status()
    assert (sink.kind, sink.outlet, inlet(recorder).producers) == ("consumer", None, ("<producer-consumer middle>",))
    await recorder.stop("why")
    assert (recorder.status().state, recorder.status().reason) == (State.ENDED, "why")


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
    assert len([record for record in caplog.records if "is no " in record.message]) == 4
    assert manual.released == [([1], Dropped.LATE)]
    assert manual.reason is recorder.reason is None


@pytest.mark.case(56)
async def test_a_consumer_cannot_be_subscribed_to(house):
    """The subscription ends with a reason that says so; the other consumer lives."""
    one, two = Recorder(), Recorder()
    await house(one, two)
    await one.subscribe(two, cancel=Cancel.TEMPORARY)
    await settle()
    assert "is no producer" in str(one.cancels[0].reason)
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


async def test_stop_with_a_timeout_kills_what_does_not_end(house):
    """A callback that waits for ever is cancelled, and what it held comes back."""
    manual, sleeper = Manual(), Recorder()
    sleeper.limit = 1
    await house(manual, sleeper)
    await sleeper.subscribe(manual)
    await settle()
    manual.push([1, 2])
    await settle()
    assert sleeper.status().busy
    await sleeper.stop(timeout=0.01)
    assert sleeper.reason is KILLED
    assert manual.released == [([1, 2], Dropped.CONSUMER_DOWN)]


async def test_cancelling_the_wait_for_a_stop_leaves_the_stage_stopping(house):
    """The waiter is cancelled, the stage is not."""
    sleeper = Recorder()
    gate = asyncio.Event()

    async def on_stop(reason):
        await gate.wait()

    sleeper.on_stop = on_stop  # type: ignore[method-assign]
    await house(sleeper)
    stopping = asyncio.ensure_future(sleeper.stop())
    await settle()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert sleeper.status().state is State.STOPPING
    gate.set()
    assert await sleeper.wait() is NORMAL


async def test_a_stage_that_is_never_started_can_be_stopped_and_ends_its_consumers(house):
    """What it buffered comes back; whoever subscribed learns that there is no producer."""
    manual, recorder = Manual(), Recorder()
    await house(recorder)
    manual.push([1])
    await recorder.subscribe(manual)
    await manual.stop(NORMAL)
    assert isinstance(await recorder.wait(), NoProducer)
    assert manual.released == [([1], Dropped.STAGE_ENDED)]


async def test_stages_are_context_managers():
    """Started on entry, stopped on exit."""
    async with Counter() as counter, Recorder() as recorder:
        recorder.limit = 1
        await recorder.subscribe(counter, max_demand=3, min_demand=0, cancel=Cancel.TEMPORARY)
        await settle()
        assert recorder.events == span(0, 2)
        recorder.kill()
    assert (counter.reason, recorder.reason) == (NORMAL, KILLED)


async def test_a_stage_killed_before_its_first_turn_still_ends(house):
    """The task never ran; its name and its neighbours are cleared all the same."""
    recorder = Recorder()
    starting = asyncio.ensure_future(recorder.start())
    await asyncio.sleep(0)
    recorder.kill()
    with pytest.raises(StageEnded):
        await starting
    assert recorder.reason is KILLED


async def test_events_that_nobody_finished_come_back_when_their_holder_ends(house):
    """Inbound, buffered and undelivered events of a producer-consumer that is killed."""
    manual, doubler, recorder = Manual(), Doubler(), Recorder()
    await house(manual, doubler, recorder)
    await doubler.subscribe(manual, max_demand=2, min_demand=0, cancel=Cancel.TEMPORARY)
    link = await recorder.subscribe(doubler, mode="manual", cancel=Cancel.TEMPORARY)
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
