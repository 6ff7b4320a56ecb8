"""Group D: the buffer, on its own and in a producer."""

import pytest

from penstock.stages import BadOption, Buffer, Dropped

from ..doubles import Counter, Manual, Recorder, outlet, settle, span


@pytest.mark.case(29)
async def test_buffered_events_go_before_the_demand_reaches_the_producer(house):
    """a,b,c and d,e are buffered; a consumer of 4 gets them first, handle_demand only sees the remaining 3."""
    counter, recorder = Counter(), Recorder()
    recorder.limit = 4
    await house(counter, recorder)
    counter.push(["a", "b", "c"])
    counter.push(["d", "e"])
    assert counter.estimate_buffered() == 5
    await recorder.subscribe(counter, max_demand=4, min_demand=0)
    await settle()
    assert recorder.batches == [["a", "b", "c", "d"], ["e"], [0, 1, 2], [3, 4, 5, 6]]
    assert counter.demands[:2] == [3, 4]


@pytest.mark.case(30, 31)
@pytest.mark.parametrize("log", [True, False])
async def test_discarded_events_are_counted_reported_and_released(house, caplog, log):
    """The hook gets the number; False suppresses the default warning; nothing is said later while draining."""
    manual, recorder = Manual(buffer_size=2), Recorder()
    manual.log_discards = log
    await house(manual, recorder)
    manual.push(["a", "b", "c", "d", "e"])
    assert manual.discards == [3]
    assert manual.released == [(["a", "b", "c"], Dropped.OVERFLOW)]
    assert outlet(manual).discarded == 3
    await recorder.subscribe(manual, max_demand=4)
    await settle()
    assert recorder.events == ["d", "e"]
    assert sum("discarded=3" in record.message for record in caplog.records) == int(log)


@pytest.mark.case(30)
async def test_keep_first_drops_the_newcomers(house):
    """Of five events in a buffer of two the first two stay."""
    manual, recorder = Manual(buffer_size=2, buffer_keep="first"), Recorder()
    await house(manual, recorder)
    manual.push(["a", "b", "c", "d", "e"])
    await recorder.subscribe(manual)
    await settle()
    assert recorder.events == ["a", "b"]
    assert manual.released == [(["c", "d", "e"], Dropped.OVERFLOW)]


@pytest.mark.case(32)
async def test_the_buffered_count_follows_the_buffer(house, caplog):
    """5, 8 after more, 0 after consumption; a consumer says 0 and logs an error."""
    manual, recorder = Manual(), Recorder()
    await house(manual, recorder)
    manual.push(span(1, 5))
    assert manual.estimate_buffered() == 5
    manual.push(span(6, 8))
    assert manual.estimate_buffered() == 8
    await recorder.subscribe(manual)
    await settle()
    assert manual.estimate_buffered() == 0
    assert recorder.estimate_buffered() == 0
    assert any("has no buffer" in record.message for record in caplog.records if record.levelname == "ERROR")


async def test_a_buffer_of_size_zero_keeps_nothing(house):
    """Events that nobody has asked for are discarded at once; those asked for arrive."""
    manual, recorder = Manual(buffer_size=0), Recorder()
    await house(manual, recorder)
    manual.push(["early"])
    await recorder.subscribe(manual, max_demand=2)
    await settle()
    manual.push(["one", "two", "three"])
    await settle()
    assert recorder.events == ["one", "two"]
    assert manual.released == [(["early"], Dropped.OVERFLOW), (["three"], Dropped.OVERFLOW)]


@pytest.mark.parametrize("keep", ["last", "first"])
def test_a_buffer_of_size_zero_releases_no_marker_late(keep):
    """There is never anything to wait for."""
    buffer = Buffer(0, keep)
    assert buffer.store([1, 2]) == ([1, 2], [])
    assert not buffer.mark("info")


async def test_a_fresh_event_never_overtakes_a_buffered_one(house):
    """A consumer that asked 10 and left covers the next one's ask of 5; what is buffered still goes first."""
    manual, one, two = Manual(), Recorder(), Recorder()
    await house(manual, one, two)
    (await one.subscribe(manual, mode="manual")).ask(10)
    await settle()
    await one.stop()
    await settle()
    manual.push(["a", "b", "c"])
    (await two.subscribe(manual, mode="manual")).ask(5)
    await settle()
    manual.push(["d"])
    await settle()
    assert two.events == ["a", "b", "c", "d"]
    assert manual.demands == [10], "seven are still owed, four were needed"


@pytest.mark.case(33, 34)
def test_markers_do_not_count_and_leave_after_the_event_before_them():
    """t1, t2, m3, t4: take(5) stops at the marker."""
    buffer = Buffer(10)
    assert not buffer.mark("at once")
    buffer.store(["t1", "t2"])
    assert buffer.mark("m3")
    buffer.store(["t4"])
    assert len(buffer) == 3
    assert buffer.take(5) == (["t1", "t2"], ["m3"])
    assert buffer.take(3) == (["t4"], [])


@pytest.mark.case(34)
def test_markers_at_one_place_keep_their_order():
    """m3, m4, m5 come first in, first out."""
    buffer = Buffer(None)
    buffer.store(["t1"])
    for marker in ("m3", "m4", "m5"):
        buffer.mark(marker)
    assert buffer.take(1) == (["t1"], ["m3", "m4", "m5"])


@pytest.mark.case(35)
def test_events_and_markers_interleave():
    """t1 t2 |m3 m4| t5 t6 t7 |m8 m9| t10 |m11|."""
    buffer = Buffer(100)
    for events, markers in ((["t1", "t2"], ["m3", "m4"]), (["t5", "t6", "t7"], ["m8", "m9"]), (["t10"], ["m11"])):
        buffer.store(events)
        for marker in markers:
            assert buffer.mark(marker)
    assert buffer.take(3) == (["t1", "t2"], ["m3", "m4"])
    assert buffer.take(4) == (["t5", "t6", "t7"], ["m8", "m9"])
    assert buffer.take(2) == (["t10"], ["m11"])


@pytest.mark.case(35)
def test_markers_leave_when_the_events_before_them_are_displaced():
    """Capacity 3, keep last: three newcomers push out t1, t2 and with them m3, m4."""
    buffer = Buffer(3, "last")
    buffer.store(["t1", "t2"])
    buffer.mark("m3")
    buffer.mark("m4")
    assert buffer.store(["t5", "t6", "t7"]) == (["t1", "t2"], ["m3", "m4"])
    assert buffer.take(9) == (["t5", "t6", "t7"], [])


@pytest.mark.parametrize("options", [{"size": -1}, {"size": 1.0}, {"size": True}, {"keep": "middle"}])
def test_wrong_buffer_options_are_named(options):
    """The error names the option and what was given."""
    with pytest.raises(BadOption, match="buffer_"):
        Buffer(**options)
