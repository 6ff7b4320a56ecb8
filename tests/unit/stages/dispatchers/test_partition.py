"""Group K: the partition dispatcher, pure and in a producer."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

from types import SimpleNamespace

import pytest

from penstock.stages import (
    BadOption,
    CancelMode,
    Dropped,
    PartitionDispatcher,
    SubscriptionRefused,
    stable_hash,
)

from ..doubles import Manual, Raw, Recorder, settle, span
from .test_broadcast import SimpleNamespaceTag


def tag(partition):
    """Something like a subscription to a partition."""
    return SimpleNamespaceTag(name=partition, consumer=object(), options=SimpleNamespace(partition=partition))


def parity(event):
    return event, "odd" if event % 2 else "even"


@pytest.mark.case(75, 76)
@pytest.mark.parametrize("named", [False, True])
def test_one_partition_takes_what_it_asked_for(named):
    """3 and 3 asked, 1 and 7 dispatched: 5 delivered, 2 left over."""
    dispatcher = PartitionDispatcher(["odd"], hash=lambda event: (event, "odd")) if named else PartitionDispatcher(1)
    a = tag("odd" if named else 0)
    assert dispatcher.subscribe(a) == 0
    assert dispatcher.ask(3, a) == 3
    assert dispatcher.ask(3, a) == 3
    assert dispatcher.dispatch([1]) == ([(a, [1])], [])
    assert dispatcher.dispatch(span(2, 8)) == ([(a, span(2, 6))], [7, 8])


@pytest.mark.case(77)
def test_the_hash_may_discard_events():
    """Multiples of 3 go nowhere and use up no demand."""
    even, odd = tag("even"), tag("odd")
    dispatcher = PartitionDispatcher(["even", "odd"], hash=lambda event: parity(event) if event % 3 else None)
    for one in (even, odd):
        dispatcher.subscribe(one)
        dispatcher.ask(4, one)
    deliveries, leftover = dispatcher.dispatch(span(1, 12))
    assert {str(one): events for one, events in deliveries} == {"even": [2, 4, 8, 10], "odd": [1, 5, 7, 11]}
    assert leftover == [12]


@pytest.mark.case(78)
def test_a_busy_partition_queues_without_blocking_the_other():
    """Demand is one number: events of a partition that has none wait in its own queue."""
    even, odd = tag("even"), tag("odd")
    dispatcher = PartitionDispatcher(["even", "odd"], hash=parity)
    for one in (even, odd):
        dispatcher.subscribe(one)
        dispatcher.ask(3, one)
    assert dispatcher.dispatch([1, 3, 5, 7, 9]) == ([(odd, [1, 3, 5])], [])
    assert dispatcher.queued() == 2
    assert dispatcher.dispatch([2, 4]) == ([(even, [2])], [4])
    assert dispatcher.ask(2, odd) == 2
    assert dispatcher.collect(odd) == ([(odd, [7, 9])], [])
    assert dispatcher.queued() == 0


@pytest.mark.case(79)
def test_a_cancel_returns_what_was_queued_and_asks_for_as_many():
    """Five queued events come back, none vanishes; a queued info is due."""
    dispatcher, a = PartitionDispatcher(["even", "odd"], hash=parity), tag("odd")
    b = tag("even")
    dispatcher.subscribe(a)
    dispatcher.subscribe(b)
    dispatcher.ask(5, b)
    assert dispatcher.dispatch([1, 3, 5, 7, 9]) == ([], [])
    assert not dispatcher.info("queued")
    assert dispatcher.cancel(a) == (5, [1, 3, 5, 7, 9], ["queued"])
    assert dispatcher.deliverable == 5


def test_the_open_demand_of_a_partition_that_left_covers_the_next():
    """As with the demand dispatcher."""
    dispatcher, a, b = PartitionDispatcher(1), tag(0), tag(0)
    dispatcher.subscribe(a)
    assert dispatcher.ask(5, a) == 5
    assert dispatcher.cancel(a) == (0, [], [])
    dispatcher.subscribe(b)
    assert dispatcher.ask(7, b) == 2
    assert dispatcher.dispatch(span(1, 7)) == ([(b, span(1, 7))], [])


@pytest.mark.case(80)
def test_an_info_waits_for_the_partitions_that_are_backed_up():
    """At once when none is."""
    dispatcher, odd, even = PartitionDispatcher(["odd", "even"], hash=parity), tag("odd"), tag("even")
    assert dispatcher.info("no consumer")
    for one in (odd, even):
        dispatcher.subscribe(one)
        dispatcher.ask(2, one)
    assert dispatcher.info("nothing queued")
    dispatcher.dispatch([1, 3, 5, 7])
    assert not dispatcher.info("queued")
    assert dispatcher.ask(1, odd) == 1
    assert dispatcher.collect(odd) == ([(odd, [5])], [])
    dispatcher.ask(1, odd)
    assert dispatcher.collect(odd) == ([(odd, [7])], ["queued"])


@pytest.mark.case(80)
@pytest.mark.parametrize(
    "hash_", [lambda event: (event, "unknown"), lambda event: "no pair", lambda event: 1 / 0, lambda event: 5]
)
def test_a_bad_hash_fails_that_event_alone(hash_, caplog):
    """It is returned for release; the next one is served."""
    dispatcher, odd = PartitionDispatcher(["odd"], hash=lambda e: hash_(e) if e == 2 else (e, "odd")), tag("odd")
    dispatcher.subscribe(odd)
    dispatcher.ask(3, odd)
    assert dispatcher.dispatch([1, 2, 3]) == ([(odd, [1, 3])], [])
    assert dispatcher.undeliverable == [2]
    assert dispatcher.deliverable == 1
    assert "hash" in caplog.text


@pytest.mark.case(80, 81)
def test_wrong_partitions_are_refused_by_name():
    """No partitions, names without a hash; missing, unknown and taken partitions."""
    for wrong in (0, -1, True, []):
        with pytest.raises(BadOption, match="partitions"):
            PartitionDispatcher(wrong)
    with pytest.raises(BadOption, match="hash must be given when partitions have names"):
        PartitionDispatcher(["a"])
    dispatcher = PartitionDispatcher(2)
    dispatcher.subscribe(tag(0))
    for partition, rule in ((None, "is required"), (7, "must be one of"), (0, "already taken")):
        with pytest.raises(SubscriptionRefused, match=rule):
            dispatcher.subscribe(tag(partition))


def test_the_default_hash_is_the_same_in_every_process():
    """CRC-32, not hash()."""
    assert stable_hash("penstock") == stable_hash(b"penstock") == 0xAF16E2EC
    assert stable_hash(("a", 1)) == stable_hash(("a", 1))
    dispatcher = PartitionDispatcher(4)
    tags = [tag(number) for number in range(4)]
    for one in tags:
        dispatcher.subscribe(one)
        dispatcher.ask(100, one)
    first, _ = dispatcher.dispatch(["a", "b", "c", "d"] * 3)
    for _, events in first:
        assert len(events) % 3 == 0


async def test_a_partition_that_leaves_releases_and_the_others_go_on(house):
    """In a producer: what was queued for it goes to on_released, as many are asked for again."""
    manual = Manual(dispatcher=PartitionDispatcher(["odd", "even"], hash=parity))
    odd, even = Recorder(), Recorder()
    await house(manual, odd, even)
    (await odd.subscribe(manual, partition="odd", mode="manual", cancel=CancelMode.TEMPORARY)).ask(1)
    link = await even.subscribe(manual, partition="even", mode="manual")
    link.ask(4)
    await settle()
    manual.push([1, 3, 5, 7])
    await settle()
    assert odd.events == [1]
    odd.subscriptions()[0].cancel("enough")
    await settle()
    assert manual.released == [([3, 5, 7], Dropped.PARTITION_CANCELLED)]
    assert manual.demands == [1, 4, 3]
    manual.push([2, 4])
    await settle()
    assert even.events == [2, 4]


async def test_a_refused_partition_is_reported_to_its_consumer(house):
    """The consumer ends in the way that its cancel mode says; the producer lives."""
    manual = Manual(dispatcher=PartitionDispatcher(2))
    strict, lenient = Recorder(), Recorder()
    await house(manual, strict, lenient)
    await lenient.subscribe(manual, partition=9, cancel=CancelMode.TEMPORARY)
    await strict.subscribe(manual)
    assert isinstance(await strict.wait(), SubscriptionRefused)
    assert "must be one of [0, 1], got 9" in str(lenient.cancels[0].reason)
    assert lenient.reason is manual.reason is None


async def test_buffered_events_are_served_where_a_departed_partition_covers_the_ask(house):
    """The buffer goes first, irrespective of what is pstopping."""
    manual, raw = Manual(dispatcher=PartitionDispatcher(["odd", "even"], hash=parity)), Raw()
    await house(manual)
    odd = raw.subscribe(manual, partition="odd")
    odd.ask(2)
    even = raw.subscribe(manual, partition="even")
    even.ask(2)
    await settle()
    manual.push([1, 3, 5, 7, 9])
    assert manual.estimate_buffered() == 1
    even.cancel()
    await settle()
    again = Raw()
    again.subscribe(manual, partition="even").ask(2)
    await settle()
    assert manual.estimate_buffered() == 0
    manual.push([2])
    odd.ask(2)
    await settle()
    assert raw.batches() == [[1, 3], [5, 7]]
    assert again.batches() == [[2]]
