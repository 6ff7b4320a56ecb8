"""Group O, and the errors of a well-known tutorial: what must never happen again."""

# mypy: disable-error-code="arg-type,attr-defined,misc,no-untyped-call,union-attr,var-annotated,override"

import asyncio

import pytest

from penstock.stages import BadOption, CancelMode, Dropped, Poller

from .doubles import Counter, Manual, Recorder, inlet, settle, span


class Table:
    """Rows that are claimed by a fetch."""

    def __init__(self, *rows):
        self.rows = list(rows)
        self.fetches = []
        self.fail = 0

    async def claim(self, limit):
        self.fetches.append(limit)
        await asyncio.sleep(0)
        if self.fail:
            self.fail -= 1
            raise ConnectionError("database away")
        taken, self.rows = self.rows[:limit], self.rows[limit:]
        return taken


@pytest.mark.case(111, 112)
@pytest.mark.looptime
async def test_a_source_that_brings_less_than_was_asked_does_not_stall(house):
    """5 jobs for a demand of 1000, then 7, then 7 more: all 19 arrive without another ask (E1), over one timer (E3)."""
    table = Table(*span(1, 5))
    poller, recorder = Poller(table.claim, interval=1.0), Recorder()
    await house(poller, recorder)
    await recorder.subscribe(poller)
    await asyncio.sleep(0.1)
    assert recorder.events == span(1, 5)
    for first, last in ((6, 12), (13, 19)):
        table.rows.extend(span(first, last))
        await asyncio.sleep(1)
        assert recorder.events == span(1, last)
        timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle._cancelled]
        assert len([handle for handle in timers if "Poller" in repr(handle)]) == 1
    assert table.fetches == [1000, 995, 988]
    assert poller.pending == 981


@pytest.mark.case(112)
@pytest.mark.looptime
async def test_an_error_of_the_source_keeps_what_is_owed(house, caplog):
    """And a wake-up needs no timer; many wake-ups make one fetch."""
    table = Table()
    table.fail = 2
    poller, recorder = Poller(table.claim, interval=60.0, random=lambda: 0.0), Recorder()
    await house(poller, recorder)
    await recorder.subscribe(poller, max_demand=4, min_demand=0)
    await asyncio.sleep(0.25)
    assert (table.fetches, poller.pending) == ([4, 4], 4)
    assert "owed=4" in caplog.text
    await asyncio.sleep(0.1)
    assert table.fetches == [4, 4, 4]
    table.rows.extend([1, 2])
    for _ in range(5):
        poller.wake()
    await settle()
    assert recorder.events == [1, 2]
    assert table.fetches == [4, 4, 4, 4]


@pytest.mark.case(113)
@pytest.mark.looptime
async def test_a_source_never_emits_more_than_is_owed(house, caplog):
    """Also on wake-ups, and also where the fetch brings too much (E2): the excess goes back."""
    table = Table(*span(1, 100))
    poller, recorder = Poller(table.claim, interval=0.1), Recorder()
    await house(poller, recorder)
    link = await recorder.subscribe(poller, mode="manual")
    for _ in range(20):
        poller.wake()
        await asyncio.sleep(0.1)
    assert table.fetches == []
    link.ask(3)
    await asyncio.sleep(1)
    assert (recorder.events, table.fetches) == ([1, 2, 3], [3])
    assert poller.estimate_buffered() == 0
    back = []

    async def greedy(limit):
        return span(1, limit + 2)

    second, sink = Poller(greedy), Recorder()
    second.on_released = lambda events, why: back.extend(events)  # type: ignore[method-assign]
    await house(second, sink)
    (await sink.subscribe(second, mode="manual")).ask(2)
    await settle()
    assert (sink.events, back, second.pending) == ([1, 2], [3, 4], 0)


@pytest.mark.case(113)
async def test_the_events_of_a_crashed_consumer_reach_its_successor(house):
    """The tutorial says so, GenStage does not do it (E6): here the producer gets it back and emits it again."""

    class Steady(Manual):
        def on_released(self, events, why):
            super().on_released(events, why)
            if why is Dropped.CONSUMER_DOWN:
                self.push(events)

    class Crashing(Recorder):
        async def handle_events(self, events, subscription):
            await super().handle_events(events, subscription)
            raise ValueError

    steady, crashing, successor = Steady(), Crashing(), Recorder()
    await house(steady, crashing, successor)
    await crashing.subscribe(steady, max_demand=4, min_demand=2)
    await settle()
    steady.push(span(1, 4))
    await settle()
    assert crashing.batches == [[1, 2]]
    await successor.subscribe(steady)
    await settle()
    assert successor.events == span(1, 4)


async def test_a_small_demand_shares_thirty_jobs_among_three_consumers(house):
    """With 1000 the first would take them all (E5)."""
    manual, consumers = Manual(), [Recorder(), Recorder(), Recorder()]
    await house(manual, *consumers)
    for consumer in consumers:
        await consumer.subscribe(manual, max_demand=1, min_demand=0)
    await settle()
    for number in span(1, 30):
        manual.push([number])
        await settle()
    assert [len(consumer.events) for consumer in consumers] == [10, 10, 10]


@pytest.mark.case(114)
async def test_a_reader_of_the_open_demand_may_serve_it_at_any_time(house):
    """Demand that could not be served at once is still there later, from an outside task."""
    manual, recorder = Manual(), Recorder()
    await house(manual, recorder)
    await recorder.subscribe(manual, max_demand=10)
    await settle()
    assert manual.open_demand() == 10
    await asyncio.create_task(manual.emit([1, 2, 3]))
    assert manual.open_demand() == 7
    await settle()
    assert recorder.events == [1, 2, 3]
    assert inlet(recorder).received == 3


async def test_a_fetch_in_flight_is_waited_for_and_what_it_claimed_goes_back(house):
    """A claim that was committed must not be lost by a stop."""
    gate, back = asyncio.Event(), []

    async def claim(limit):
        await gate.wait()
        return [1, 2]

    poller, recorder = Poller(claim), Recorder()
    poller.on_released = lambda events, why: back.append((list(events), why))  # type: ignore[method-assign]
    await house(poller, recorder)
    link = await recorder.subscribe(poller, cancel=CancelMode.TEMPORARY)
    await settle()
    link.cancel()
    await settle()
    stopping = asyncio.ensure_future(poller.stop())
    await settle()
    assert not stopping.done()
    gate.set()
    await stopping
    assert back == [([1, 2], Dropped.STAGE_ENDED)]


def test_wrong_options_of_a_poller_are_named():
    """fetch, interval, max_limit."""
    for wrong in ({"fetch": 5}, {"fetch": print, "interval": 0}, {"fetch": print, "max_limit": 0}):
        with pytest.raises(BadOption, match=list(wrong)[-1]):
            Poller(**wrong)


async def test_a_start_value_is_kept_across_demands(house):
    """10, 11, 12, then 13, 14."""
    counter, recorder = Counter(10), Recorder()
    await house(counter, recorder)
    link = await recorder.subscribe(counter, mode="manual")
    link.ask(3)
    await settle()
    link.ask(2)
    await settle()
    assert recorder.batches == [[10, 11, 12], [13, 14]]
