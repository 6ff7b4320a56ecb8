"""Filter, enrich, throttle, reservoir: ordinary stages on the public interface."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import BadOption, Dropped, Enrich, Filter, Reservoir, Throttle, from_iterable, stream

from ..doubles import Counter, Manual, Recorder, settle, span


async def test_a_filter_passes_what_is_wanted_and_counts_the_rest(house):
    """It never stalls, also where nearly nothing passes."""
    source, high = from_iterable(range(3000)), Filter(lambda event: event % 1000 == 0)
    await house(source, high)
    await high.subscribe(source, max_demand=10, cancel=None)
    assert [event async for event in stream(high)] == [0, 1000, 2000]
    assert high.rejected == 2997


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_enriching_keeps_the_order_and_releases_what_failed(house, concurrency, caplog):
    """One event that cannot be enriched does not stop the others."""

    async def enrich(event):
        await asyncio.sleep(0)
        return 10 // event

    manual, enricher, recorder = Manual(), Enrich(enrich, concurrency=concurrency), Recorder()
    await house(manual, enricher, recorder)
    await enricher.subscribe(manual)
    await recorder.subscribe(enricher)
    await settle()
    manual.push([1, 2, 0, 5])
    await settle()
    assert recorder.events == [10, 5, 2]
    assert manual.released == [([0], Dropped.FAILED)]
    with pytest.raises(BadOption, match="concurrency"):
        Enrich(enrich, concurrency=0)


@pytest.mark.looptime
async def test_a_throttle_passes_its_rate_and_forgets_no_demand(house):
    """Two a second, bursts of three: after a quiet hour no more than the burst comes at once (the article's E21)."""
    counter, throttle, recorder = Counter(), Throttle(2.0, burst=3), Recorder()
    await house(counter, throttle, recorder)
    await throttle.subscribe(counter)
    link = await recorder.subscribe(throttle, mode="manual")
    link.ask(1000)
    await asyncio.sleep(0.01)
    assert recorder.events == span(0, 2)
    await asyncio.sleep(10)
    assert recorder.events == span(0, 22)
    assert sum(counter.demands) == 23, "what may not pass was never asked for"


@pytest.mark.looptime
async def test_a_throttle_keeps_fractions_and_bounds_its_burst(house):
    """Three in ten seconds at 0.3 a second; silence saves up at most one second's worth, at least one."""
    counter, throttle, recorder = Counter(), Throttle(0.3), Recorder()
    await house(counter, throttle, recorder)
    assert throttle.burst == 1
    await throttle.subscribe(counter)
    link = await recorder.subscribe(throttle, mode="manual")
    link.ask(100)
    await asyncio.sleep(10.1)
    assert recorder.events == span(0, 3)
    for wrong in ({"rate": 0}, {"rate": 1, "burst": 0}):
        with pytest.raises(BadOption, match=r"rate|burst"):
            Throttle(**wrong)


async def test_a_throttle_that_ends_leaves_no_timer_and_one_that_loses_its_producer_none_either(house):
    """Demand towards a producer that left is forgotten with it."""
    manual, throttle = Manual(), Throttle(1000.0)
    await house(manual, throttle)
    link = await throttle.subscribe(manual, cancel=None)
    await settle()
    assert manual.demands == [1000]
    await throttle.stop()
    assert not link.active


async def test_a_reservoir_holds_events_ahead_of_its_consumers(house):
    """Ten are asked for before anybody wants one; they are there at once when somebody does."""
    counter, reservoir, recorder = Counter(), Reservoir(), Recorder()
    await house(counter, reservoir, recorder)
    await reservoir.subscribe(counter, max_demand=10)
    await settle()
    assert counter.demands == [10]
    link = await recorder.subscribe(reservoir, mode="manual")
    link.ask(3)
    await settle()
    assert recorder.events == [0, 1, 2]
    assert counter.demands[0] == 10
