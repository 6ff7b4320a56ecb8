"""Group E: infos keep their place among events."""

import pytest

from penstock.stages import NORMAL

from ..doubles import Counter, Doubler, Manual, Raw, Recorder, settle, span


@pytest.mark.case(36)
async def test_an_info_of_a_stage_that_holds_nothing_comes_at_once(house):
    """Producer, producer-consumer and consumer alike."""
    stages = Manual(), Doubler(), Recorder()
    await house(*stages)
    for stage in stages:
        stage.post_info("now")
    await settle()
    assert [stage.infos for stage in stages] == [["now"]] * 3


@pytest.mark.case(37)
async def test_an_info_waits_for_the_inbound_events_of_a_producer_consumer(house):
    """Until a consumer makes it process them."""
    manual, doubler, recorder = Manual(), Doubler(), Recorder()
    await house(manual, doubler, recorder)
    await doubler.subscribe(manual)
    await settle()
    manual.push([1, 2])
    await settle()
    doubler.post_info("after 2")
    await settle()
    assert doubler.infos == []
    link = await recorder.subscribe(doubler, mode="manual")
    link.ask(2)
    await settle()
    assert doubler.batches == [[1, 2]]
    assert doubler.infos == [], "half of what came of them is still buffered"
    link.ask(2)
    await settle()
    assert doubler.infos == ["after 2"]


@pytest.mark.case(38)
@pytest.mark.parametrize("size", [None, 1, 2, 3])
async def test_an_info_comes_after_all_events_that_were_buffered(house, size):
    """Whatever the buffer could hold of them."""
    manual, recorder = Manual(buffer_size=size), Recorder()
    await house(manual, recorder)
    manual.push(["a", "b", "c"])
    manual.post_info("end")
    await settle()
    assert manual.infos == []
    link = await recorder.subscribe(manual, mode="manual")
    kept = 3 if size is None else size
    for number in range(kept):
        assert manual.infos == []
        link.ask(1)
        await settle()
        assert len(recorder.events) == number + 1
    assert recorder.events == ["a", "b", "c"][-kept:]
    assert manual.infos == ["end"]


@pytest.mark.case(39, 40)
async def test_an_info_comes_when_the_events_before_it_are_dropped(house):
    """Keep last, size 3: c, d, e push out a, b."""
    manual = await house(Manual(buffer_size=3))
    manual.push(["a", "b"])
    manual.post_info("after b")
    await settle()
    manual.push(["c", "d", "e"])
    await settle()
    assert manual.infos == ["after b"]
    assert manual.estimate_buffered() == 3


@pytest.mark.case(41)
async def test_many_infos_come_in_order_and_split_the_events(house):
    """a,b,c, infos d,e,f, g,h, info i; one ask of 5."""
    manual, raw = Manual(), Raw()
    await house(manual)
    manual.push(["a", "b", "c"])
    for info in "def":
        manual.post_info(info)
    await settle()
    manual.push(["g", "h"])
    manual.post_info("i")
    await settle()
    raw.subscribe(manual).ask(5)
    await settle()
    assert raw.batches() == [["a", "b", "c"], ["g", "h"]]
    assert manual.infos == ["d", "e", "f", "i"]


async def test_a_finite_source_ends_gracefully_after_its_last_events(house):
    """Emit, post an info to oneself, stop in on_info: the consumer gets all events first."""

    class Finite(Counter):
        async def handle_demand(self, demand):
            events = (await super().handle_demand(demand))[: max(0, 7 - self.next + demand)]
            if self.next >= 7:
                self.post_info("finished")
            return events

        async def on_info(self, info):
            await self.stop(NORMAL)

    finite, recorder = Finite(), Recorder()
    await house(finite, recorder)
    await recorder.subscribe(finite, max_demand=4, min_demand=2)
    assert await recorder.wait() is NORMAL
    assert recorder.events == span(0, 6)
    assert [cancellation.down for cancellation in recorder.cancels] == [True]


async def test_consumers_are_cancelled_after_the_buffer(house):
    """cancel_consumers first lets the buffer drain."""
    manual, raw = Manual(), Raw()
    await house(manual)
    link = raw.subscribe(manual)
    manual.push([1, 2, 3])
    manual.cancel_consumers("drained")
    await settle()
    assert raw.cancels() == []
    link.ask(3)
    await settle()
    assert raw.batches() == [[1, 2, 3]]
    assert raw.cancels() == ["drained"]
    manual.push([4])
    assert manual.estimate_buffered() == 1
