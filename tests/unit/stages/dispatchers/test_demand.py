"""Group I: the demand dispatcher, pure."""

from random import Random

import pytest

from penstock.stages import BadOption, DemandDispatcher


def subscribed(*names):
    dispatcher = DemandDispatcher()
    for name in names:
        assert dispatcher.subscribe(name) == 0
    return dispatcher


@pytest.mark.case(60, 61)
def test_the_demand_of_a_consumer_that_left_is_pending():
    """Ask 10, leave, ask 5: nothing new is needed from upstream."""
    dispatcher = subscribed("a")
    assert dispatcher.ask(10, "a") == 10
    assert dispatcher.cancel("a") == (0, [], [])
    assert dispatcher.pending == 10
    dispatcher.subscribe("b")
    assert dispatcher.ask(5, "b") == 0
    assert dispatcher.pending == 5
    dispatcher.cancel("b")
    assert dispatcher.pending == 10
    assert dispatcher.dispatch([1, 2, 3]) == ([], [1, 2, 3])
    assert dispatcher.pending == 7
    assert dispatcher.dispatch(list(range(10))) == ([], list(range(10)))
    assert dispatcher.pending == 0


@pytest.mark.case(62, 63)
def test_one_of_two_leaves():
    """Its part is pending; leftovers reduce it."""
    dispatcher = subscribed("a", "b")
    assert dispatcher.ask(3, "a") == 3
    assert dispatcher.ask(3, "b") == 3
    dispatcher.cancel("a")
    assert (dispatcher.pending, dispatcher.deliverable) == (3, 3)
    assert dispatcher.dispatch([1, 2, 3, 4, 5]) == ([("b", [1, 2, 3])], [4, 5])
    assert dispatcher.pending == 1


@pytest.mark.case(64)
def test_consumers_are_served_in_descending_order_of_demand():
    """Among equals the one that reached the value first is ahead."""
    dispatcher = subscribed("a", "b", "c")
    for name, count in (("a", 4), ("b", 2), ("c", 3)):
        dispatcher.ask(count, name)
    assert dispatcher.demands() == [(4, "a"), (3, "c"), (2, "b")]
    dispatcher.ask(2, "c")
    assert dispatcher.demands() == [(5, "c"), (4, "a"), (2, "b")]
    dispatcher.ask(4, "b")
    assert dispatcher.demands() == [(6, "b"), (5, "c"), (4, "a")]


@pytest.mark.case(65, 66)
def test_one_emission_fills_the_head_before_the_next():
    """A3, B2: five events are three and two; equal demands and small emissions alternate."""
    dispatcher = subscribed("a", "b")
    dispatcher.ask(3, "a")
    dispatcher.ask(2, "b")
    assert dispatcher.dispatch(list("abcde")) == ([("a", list("abc")), ("b", list("de"))], [])
    dispatcher.ask(3, "a")
    dispatcher.ask(3, "b")
    assert dispatcher.dispatch([1, 2]) == ([("a", [1, 2])], [])
    assert dispatcher.dispatch([3, 4]) == ([("b", [3, 4])], [])
    assert dispatcher.dispatch([5, 6, 7]) == ([("a", [5]), ("b", [6])], [7])


def test_equal_demands_and_single_events_make_a_round_robin():
    """Nine single events over three consumers: a, b, c, a, b, c, ..."""
    dispatcher = subscribed("a", "b", "c")
    for name in "abc":
        dispatcher.ask(3, name)
    assert [dispatcher.dispatch([number])[0][0][0] for number in range(9)] == list("abcabcabc")


@pytest.mark.case(67)
def test_the_first_dispatch_may_be_shuffled_and_only_the_first():
    """Both orders occur; afterwards the order is by demand."""
    heads = set()
    for seed in range(20):
        dispatcher = DemandDispatcher(shuffle=True, rng=Random(seed))
        for name in "ab":
            dispatcher.subscribe(name)
            dispatcher.ask(2, name)
        deliveries, leftover = dispatcher.dispatch([1, 2, 3])
        assert leftover == []
        heads.add(deliveries[0][0])
        rest = deliveries[1][0]
        dispatcher.ask(5, deliveries[0][0])
        assert dispatcher.demands() == [(5, deliveries[0][0]), (1, rest)]
        assert dispatcher.dispatch(["x"]) == ([(deliveries[0][0], ["x"])], [])
    assert heads == {"a", "b"}


@pytest.mark.case(67)
def test_a_greedy_consumer_is_warned_about_and_still_counted(caplog):
    """max_demand 3, ask 3, then 4."""
    dispatcher = DemandDispatcher(max_demand=3)
    dispatcher.subscribe("a")
    assert dispatcher.ask(3, "a") == 3
    assert caplog.text == ""
    dispatcher.dispatch([1, 2, 3])
    assert dispatcher.ask(4, "a") == 4
    assert "starves the others" in caplog.text
    assert dispatcher.deliverable == 4
    assert dispatcher.info("now")
    with pytest.raises(BadOption, match="max_demand"):
        DemandDispatcher(max_demand=0)


def test_the_first_ask_is_the_expected_maximum(caplog):
    """Without max_demand the first consumer's ask is what the others are compared with."""
    dispatcher = subscribed("a", "b")
    dispatcher.ask(2, "a")
    dispatcher.ask(2, "b")
    assert caplog.text == ""
    dispatcher.ask(3, "b")
    assert "asked=3, max_demand=2" in caplog.text


def test_refunded_demand_is_pending():
    """Events from the stage's buffer cover demand that the upstream owes still: nothing new is asked for."""
    dispatcher = subscribed("a")
    dispatcher.ask(5, "a")
    dispatcher.refund(3)
    assert dispatcher.pending == 3
    assert dispatcher.ask(4, "a") == 1


def test_many_consumers_cost_the_logarithm_not_the_number():
    """A thousand consumers: one event touches one of them, and order still holds."""
    names = list(range(1000))
    dispatcher = subscribed(*names)
    for name in names:
        dispatcher.ask(2, name)
    assert [dispatcher.dispatch(["x"])[0][0][0] for _ in names] == names
    assert dispatcher.deliverable == 1000
