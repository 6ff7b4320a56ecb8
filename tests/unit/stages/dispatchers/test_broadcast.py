"""Group J: the broadcast dispatcher, pure."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

from types import SimpleNamespace

import pytest

from penstock.stages import BroadcastDispatcher, Exit, SubscriptionRefused


def tag(name, selector=None, consumer=None):
    """Something like a subscription."""
    consumer = object() if consumer is None else consumer
    return SimpleNamespaceTag(name=name, consumer=consumer, options=SimpleNamespace(selector=selector))


class SimpleNamespaceTag(SimpleNamespace):
    """Hashable by identity, shown by name."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other

    def __repr__(self):
        return str(self.name)


def subscribed(dispatcher, *tags):
    for one in tags:
        assert dispatcher.subscribe(one) == 0


@pytest.mark.case(68)
def test_one_consumer_asks_and_leaves():
    """What is dispatched without consumers is left over."""
    dispatcher, a = BroadcastDispatcher(), tag("a")
    subscribed(dispatcher, a)
    assert dispatcher.ask(10, a) == 10
    assert dispatcher.cancel(a) == (0, [], [])
    assert dispatcher.dispatch([1, 2, 3]) == ([], [1, 2, 3])


@pytest.mark.case(68, 69)
def test_a_late_second_subscriber_resets_the_common_level():
    """After the first leaves, its ask of 10 is covered by what was requested already."""
    dispatcher, a, b = BroadcastDispatcher(), tag("a"), tag("b")
    subscribed(dispatcher, a)
    assert dispatcher.ask(10, a) == 10
    assert dispatcher.deliverable == 10
    subscribed(dispatcher, b)
    assert dispatcher.deliverable == 0
    assert dispatcher.cancel(a) == (0, [], [])
    assert dispatcher.ask(10, b) == 0
    assert dispatcher.deliverable == 10


@pytest.mark.case(70)
def test_the_slowest_sets_the_pace():
    """A3, B2 and so on, number by number."""
    dispatcher, a, b, c = BroadcastDispatcher(), tag("a"), tag("b"), tag("c")
    subscribed(dispatcher, a, b)
    assert dispatcher.ask(3, a) == 0
    assert dispatcher.ask(2, b) == 2
    assert dispatcher.dispatch([1, 2]) == ([(a, [1, 2]), (b, [1, 2])], [])
    assert dispatcher.ask(2, b) == 1
    assert dispatcher.dispatch([3, 4]) == ([(a, [3]), (b, [3])], [4])
    assert dispatcher.dispatch([4]) == ([], [4])
    subscribed(dispatcher, c)
    assert dispatcher.dispatch([4]) == ([], [4])
    assert dispatcher.ask(2, a) == 0
    assert dispatcher.ask(3, c) == 1
    assert dispatcher.ask(2, b) == 1
    assert dispatcher.ask(1, a) == 1
    assert dispatcher.dispatch([4, 5, 6]) == ([(a, [4, 5, 6]), (b, [4, 5, 6]), (c, [4, 5, 6])], [])


@pytest.mark.case(71)
def test_requested_events_are_not_requested_again():
    """Seven are open, a second consumer asks 20: nothing new is needed."""
    dispatcher, a, b = BroadcastDispatcher(), tag("a"), tag("b")
    subscribed(dispatcher, a)
    assert dispatcher.ask(10, a) == 10
    assert dispatcher.dispatch([1, 2, 3]) == ([(a, [1, 2, 3])], [])
    subscribed(dispatcher, b)
    assert dispatcher.ask(20, b) == 0
    assert dispatcher.dispatch(list(range(7))) == ([(a, list(range(7))), (b, list(range(7)))], [])


@pytest.mark.case(71, 72)
def test_the_request_of_a_consumer_that_left_serves_the_next():
    """A asked 10 and left; B asks 5."""
    dispatcher, a, b = BroadcastDispatcher(), tag("a"), tag("b")
    subscribed(dispatcher, a)
    dispatcher.ask(10, a)
    dispatcher.cancel(a)
    subscribed(dispatcher, b)
    assert dispatcher.ask(5, b) == 0
    assert dispatcher.dispatch([1, 2, 3]) == ([(b, [1, 2, 3])], [])


def test_the_slowest_that_leaves_releases_demand():
    """What only it held back is asked for at once."""
    dispatcher, a, b = BroadcastDispatcher(), tag("a"), tag("b")
    subscribed(dispatcher, a, b)
    dispatcher.ask(10, a)
    dispatcher.ask(2, b)
    assert dispatcher.cancel(b) == (8, [], [])
    assert dispatcher.deliverable == 10


@pytest.mark.case(73)
def test_what_a_selector_rejects_is_asked_for_again():
    """Prefixes pre and pref over four events: A gets 3 of them, B 2."""
    dispatcher = BroadcastDispatcher()
    a = tag("a", lambda event: event.startswith("pre"))
    b = tag("b", lambda event: event.startswith("pref"))
    subscribed(dispatcher, a, b)
    dispatcher.ask(4, a)
    assert dispatcher.ask(4, b) == 4
    events = ["pre1", "pref2", "pref3", "other"]
    assert dispatcher.dispatch(events) == ([(a, events[:3]), (b, events[1:3])], [])
    assert dispatcher.reasks == [(a, 1), (b, 2)]


def test_a_delivery_of_which_nothing_is_left_is_not_sent():
    """And a selector that fails rejects that event for its own consumer only."""

    def failing(event):
        raise ValueError(event)

    dispatcher, a, b, c = BroadcastDispatcher(), tag("a"), tag("b", lambda _: False), tag("c", failing)
    subscribed(dispatcher, a, b, c)
    for one in (a, b, c):
        dispatcher.ask(2, one)
    assert dispatcher.dispatch([1, 2]) == ([(a, [1, 2])], [])
    assert dispatcher.reasks == [(b, 2), (c, 2)]


@pytest.mark.case(74)
def test_the_same_consumer_subscribes_once(caplog):
    """Already subscribed; the state is unchanged."""
    dispatcher, consumer = BroadcastDispatcher(), object()
    a = tag("a", consumer=consumer)
    subscribed(dispatcher, a)
    dispatcher.ask(10, a)
    with pytest.raises(SubscriptionRefused) as refusal:
        dispatcher.subscribe(tag("again", consumer=consumer))
    assert refusal.value.reason is Exit.ALREADY_SUBSCRIBED
    assert "already subscribes" in caplog.text
    assert dispatcher.deliverable == 10
