"""Group C: accumulate and forward."""

import pytest

from penstock.stages import BadOption

from ..doubles import Counter, DemandEcho, Doubler, Manual, Recorder, settle, span


@pytest.mark.case(23)
@pytest.mark.parametrize("from_start", [True, False])
async def test_accumulate_holds_demand_until_forward(house, from_start):
    """Nothing flows; forward replays."""
    counter, recorder = Counter(demand="accumulate") if from_start else Counter(), Recorder()
    recorder.limit = 1
    await house(counter, recorder)
    counter.set_demand("accumulate")
    await settle()
    assert str(counter.demand_mode) == "accumulate"
    await recorder.subscribe(counter, max_demand=4, min_demand=0)
    await settle()
    assert recorder.batches == []
    counter.set_demand("forward")
    await settle()
    assert str(counter.demand_mode) == "forward"
    assert recorder.batches == [span(0, 3)]


@pytest.mark.case(24)
async def test_emissions_are_held_back_too_and_in_order(house):
    """Events and infos that come while accumulating leave in the order in which they came."""
    manual, recorder = Manual(demand="accumulate"), Recorder()
    await house(manual, recorder)
    await recorder.subscribe(manual)
    manual.push(["a", "b"])
    manual.post_info("after b")
    await settle()
    manual.push(["c"])
    assert recorder.events == []
    assert manual.infos == []
    manual.set_demand("forward")
    await settle()
    assert recorder.events == ["a", "b", "c"]
    assert manual.infos == ["after b"]
    assert manual.demands == [1000]


@pytest.mark.case(25)
async def test_forward_before_any_subscription_changes_nothing(house):
    """And accumulate set twice loses no collected demand."""
    counter, recorder = Counter(), Recorder()
    recorder.limit = 1
    await house(counter, recorder)
    counter.set_demand("forward")
    counter.set_demand("accumulate")
    await recorder.subscribe(counter, max_demand=4, min_demand=0)
    await settle()
    counter.set_demand("accumulate")
    await settle()
    counter.set_demand("forward")
    await settle()
    assert recorder.batches == [span(0, 3)]


@pytest.mark.case(26, 27)
async def test_accumulated_demands_are_not_combined(house):
    """Two consumers of M=2: two demands of 2, never one of 4."""
    echo, one, two = DemandEcho(demand="accumulate"), Recorder(), Recorder()
    one.limit = two.limit = 3
    await house(echo, one, two)
    await one.subscribe(echo, max_demand=2)
    await two.subscribe(echo, max_demand=2)
    await settle()
    echo.set_demand("forward")
    await settle()
    seen = [*one.events, *two.events]
    assert seen.count(2) == 2
    assert set(seen) == {2, 1}


@pytest.mark.case(28)
async def test_only_producers_accumulate(house, caplog):
    """On a producer-consumer it is an error in the log, without effect; forward changes nothing."""
    doubler = Doubler()
    await house(doubler)
    doubler.set_demand("forward")
    assert not caplog.records
    doubler.set_demand("accumulate")
    assert "ignoring demand mode 'accumulate'" in caplog.text
    assert doubler.demand_mode == "forward"


async def test_an_unknown_demand_mode_is_refused(house):
    """The stage stays alive."""
    counter = await house(Counter())
    with pytest.raises(BadOption, match="'forward' or 'accumulate', got 'sideways'"):
        counter.set_demand("sideways")
    with pytest.raises(BadOption, match="'forward' or 'accumulate', got 'sideways'"):
        Counter(demand="sideways")
    assert counter.reason is None
