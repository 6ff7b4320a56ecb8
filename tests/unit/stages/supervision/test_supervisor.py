"""Group N, 104, and the article's tree: restarts, strategies, giving up."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import (
    NORMAL,
    SHUTDOWN,
    AlreadyStarted,
    Child,
    ExponentialBackoff,
    Names,
    Restart,
    RestartsExceeded,
    State,
    Strategy,
    Supervisor,
)

from ..doubles import Counter, Manual, Recorder, settle

FAST = ExponentialBackoff(base=0.001, cap=0.002, jitter=0)


class BoomError(Exception):
    """A crash."""


class Crashing(Manual):
    async def on_cast(self, request):
        raise BoomError(request)


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def tree(names, *, consumers=3, producer=Crashing, **options):
    """One producer and its consumers, which find it by name."""

    def consumer():
        return Recorder(names=names, subscribe_to=["source"])

    children = [Child(make=lambda: producer(name="source", names=names), id="source")]
    children += [Child(make=consumer, id=f"consumer {number}") for number in range(consumers)]
    return Supervisor(children, **{"backoff": FAST, **options})


def connected(names, consumers=3):
    source = names.find("source")
    return source is not None and len(source.demands) == consumers


@pytest.mark.case(104)
@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_crash_of_the_producer_under_three_consumers_recovers_by_itself(house, strategy):
    """Once, then five times in a row: all consumers come back, with the default intensity (the article's E7)."""
    names = Names()
    supervisor = tree(names, strategy=strategy)
    await house(supervisor)
    await until(lambda: connected(names))
    for crash in range(6):
        source = names.find("source")
        source.cast(crash)
        await source.wait()
        await until(lambda: connected(names))
        assert names.find("source") is not source
    assert supervisor.state is State.RUNNING
    assert isinstance(supervisor.children()[0].last_reason, BoomError)
    assert supervisor.children()[0].restarts == 6
    await supervisor.stop()


async def test_a_crash_of_one_consumer_does_not_touch_the_others(house):
    """One for one: the producer and the other consumers are the same objects as before."""
    names = Names()
    supervisor = tree(names)
    await house(supervisor)
    await until(lambda: connected(names))
    before = [supervisor.child(f"consumer {number}") for number in range(3)]
    source = names.find("source")
    before[1].kill()
    await until(lambda: supervisor.child("consumer 1") not in (None, before[1]))
    await until(lambda: len(source.demands) == 3 and source.status().outlet.demand == 3000)
    assert supervisor.child("consumer 0") is before[0]
    assert supervisor.child("consumer 2") is before[2]
    assert names.find("source") is source
    assert len(source.demands) == 3, "what the dead one had asked for covers its successor"
    await supervisor.stop()


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        (Strategy.ONE_FOR_ONE, {"b"}),
        (Strategy.REST_FOR_ONE, {"b", "c"}),
        (Strategy.ONE_FOR_ALL, {"a", "b", "c"}),
    ],
)
async def test_the_strategy_says_who_is_restarted_together(house, strategy, restarted):
    """In order of start; the others keep running."""
    order = []

    def make(name):
        def new():
            order.append(name)
            return Recorder()

        return new

    supervisor = Supervisor([Child(make=make(name), id=name) for name in "abc"], strategy=strategy, backoff=FAST)
    await house(supervisor)
    before = {name: supervisor.child(name) for name in "abc"}
    order.clear()
    before["b"].kill()
    await before["b"].wait()
    await until(lambda: all(supervisor.child(name) not in (None, before[name]) for name in restarted))
    assert {name for name in "abc" if supervisor.child(name) is not before[name]} == restarted
    assert order == sorted(restarted)
    assert [status.restarts for status in supervisor.children()] == [int(name in restarted) for name in "abc"]
    for name in restarted - {"b"}:
        assert before[name].stops == [SHUTDOWN]
    await supervisor.stop()


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        (Restart.PERMANENT, NORMAL, True),
        (Restart.TRANSIENT, NORMAL, False),
        (Restart.TRANSIENT, SHUTDOWN, False),
        (Restart.TRANSIENT, "oops", True),
        (Restart.TEMPORARY, "oops", False),
    ],
)
async def test_the_restart_says_whether_an_ended_child_comes_back(house, restart, reason, again):
    """Permanent always, transient unless quiet, temporary never."""
    supervisor = Supervisor([Child(make=Recorder, id="x", restart=restart)], backoff=ExponentialBackoff(base=0, cap=0))
    await house(supervisor)
    first = supervisor.child("x")
    await first.stop(reason)
    await settle()
    await asyncio.sleep(0.002)
    await settle()
    if again:
        assert supervisor.child("x") not in (None, first)
    else:
        assert all(child.stage is None for child in supervisor.children())
    await supervisor.stop()


async def test_a_supervisor_gives_up_after_too_many_failures(house):
    """It ends with RestartsExceeded and stops the other children, last first."""
    other = Recorder()
    children = [Child(make=lambda: other, id="other"), Child(make=Recorder, id="bad")]
    supervisor = Supervisor(children, max_restarts=2, within=60, backoff=None)
    await house(supervisor)
    for _ in range(3):
        await until(lambda: supervisor.state is State.ENDED or supervisor.child("bad") is not None)
        bad = supervisor.child("bad")
        bad.kill()
        await bad.wait()
        await settle()
    reason = await supervisor.wait()
    assert isinstance(reason, RestartsExceeded)
    assert "max_restarts=2, within=60 s" in str(reason)
    assert other.stops == [SHUTDOWN]


async def test_a_child_that_cannot_be_started_again_is_tried_again(house):
    """Each attempt counts as a failure."""
    made = []

    def make():
        made.append(1)
        if len(made) in (2, 3):
            raise BoomError
        return Recorder()

    supervisor = Supervisor([make], backoff=FAST)
    await house(supervisor)
    supervisor.child(0).kill()
    await until(lambda: len(made) == 4)
    await until(lambda: supervisor.child(0) is not None)
    assert supervisor.children()[0].restarts == 3
    await supervisor.stop()


async def test_a_producer_that_takes_an_argument_is_made_by_its_factory(house):
    """The start value is what the factory says (the article's E9), after a restart too."""
    names = Names()
    supervisor = Supervisor([lambda: Counter(10, name="c", names=names)], backoff=FAST)
    await house(supervisor)
    with pytest.raises(AlreadyStarted):
        await Counter(name="c", names=names).start()
    assert names.find("c").next == 10
    names.find("c").kill()
    await until(lambda: names.find("c") is not None)
    assert names.find("c").next == 10
    await supervisor.stop()
