"""Group G: callbacks, the cancel matrix, calls, protocol errors, status."""

import asyncio

import pytest

from penstock.stages import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Cancellation,
    CancelMode,
    Dropped,
    Role,
    Shutdown,
    StageEnded,
    State,
)

from ..doubles import Counter, Doubler, Manual, Raw, Recorder, inlet, outlet, settle, span


@pytest.mark.case(48, 49)
async def test_both_sides_are_notified_of_a_subscription(house):
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


@pytest.mark.case(50)
@pytest.mark.parametrize("make", [Counter, Doubler])
async def test_a_producer_hears_how_its_consumer_left(house, make):
    """(cancel, oops) on cancel; (down, KILLED) when the consumer's task is killed."""
    producer, recorder = make(), Recorder()
    await house(producer, recorder)
    link = await recorder.subscribe(producer, mode="manual", cancel=CancelMode.TEMPORARY)
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

    class Stopping(Recorder):
        async def on_call(self, request):
            await self.stop(SHUTDOWN)
            return "ok"

    stopping = await house(Stopping())
    assert await stopping.call("end") == "ok"
    assert await stopping.wait() is SHUTDOWN
    assert stopping.stops == [SHUTDOWN]
    with pytest.raises(StageEnded, match="has ended: SHUTDOWN"):
        await stopping.call("again")


@pytest.mark.case(52)
async def test_stop_is_normal_and_comes_after_the_mailbox(house):
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


FINISHES = [
    (CancelMode.TEMPORARY, NORMAL, False),
    (CancelMode.TEMPORARY, "oops", False),
    (CancelMode.TRANSIENT, NORMAL, False),
    (CancelMode.TRANSIENT, SHUTDOWN, False),
    (CancelMode.TRANSIENT, Shutdown("x"), False),
    (CancelMode.TRANSIENT, "oops", True),
    (CancelMode.PERMANENT, NORMAL, True),
    (CancelMode.PERMANENT, SHUTDOWN, True),
    (CancelMode.PERMANENT, "oops", True),
]


@pytest.mark.case(53)
@pytest.mark.parametrize("make", [Recorder, Doubler])
@pytest.mark.parametrize(("cancel", "reason", "dies"), FINISHES)
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
@pytest.mark.parametrize("cancel", list(CancelMode))
async def test_a_killed_producer_ends_all_but_temporary_consumers(house, make, cancel):
    """(down, KILLED); the neighbours of the dead learn it."""
    counter, consumer = Counter(), make()
    await house(counter, consumer)
    await consumer.subscribe(counter, cancel=cancel, mode="manual")
    await settle()
    counter.kill()
    await settle()
    assert consumer.cancels == [Cancellation(KILLED, down=True)]
    assert consumer.reason is (None if cancel is CancelMode.TEMPORARY else KILLED)


@pytest.mark.case(55)
async def test_status_shows_what_a_stage_is_and_has(house):
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


async def test_stop_with_a_timeout_kills_what_does_not_end(house):
    """A callback that never returns is cancelled, and its events are released."""
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


async def test_stages_are_context_managers():
    """Started on entry, stopped on exit."""
    async with Counter() as counter, Recorder() as recorder:
        recorder.limit = 1
        await recorder.subscribe(counter, max_demand=3, min_demand=0, cancel=CancelMode.TEMPORARY)
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
