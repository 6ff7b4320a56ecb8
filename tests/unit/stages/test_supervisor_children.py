"""Children of supervisors: adding, removing, first starts, ends."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import (
    KILLED,
    SHUTDOWN,
    BadOption,
    Child,
    ExponentialBackoff,
    Restart,
    State,
    Supervisor,
)

from .doubles import Recorder
from .supervision.test_supervisor import BoomError


async def test_a_child_that_fails_at_the_first_start_fails_the_supervisor(house):
    """Those before it are stopped, the error is raised."""
    first = Recorder()

    def fail():
        raise BoomError("no disk")

    supervisor = Supervisor([lambda: first, fail])
    with pytest.raises(BoomError, match="no disk"):
        await supervisor.start()
    assert first.reason is SHUTDOWN
    assert supervisor.state is State.ENDED


async def test_children_stop_in_reverse_order_and_killing_leaves_none_running(house):
    """Stop: last first. Kill: all at once."""
    ended = []

    def make():
        stage = Recorder()
        stage.watch(lambda *_: ended.append(stage))
        return stage

    supervisor = Supervisor([make, make])
    await house(supervisor)
    one, two = supervisor.child(0), supervisor.child(1)
    await supervisor.stop()
    assert ended == [two, one]
    inner = Supervisor([make])
    outer = Supervisor([lambda: inner])
    await house(outer)
    leaf = inner.child(0)
    outer.kill()
    assert await leaf.wait() is KILLED
    assert inner.reason is KILLED


async def test_children_may_be_added_and_removed(house):
    """By id; a taken id is refused, the supervisor lives."""
    supervisor = await house(Supervisor())
    stage = await supervisor.start_child(Child(make=Recorder, id="x"))
    assert supervisor.child("x") is stage
    with pytest.raises(BadOption, match="id must be unique among the children, got 'x'"):
        await supervisor.start_child(Child(make=Recorder, id="x"))
    with pytest.raises(BadOption, match="make must be a function that returns a stage"):
        await supervisor.start_child(Child(make=lambda: 5, id="y"))
    await supervisor.stop_child("x")
    assert stage.reason is SHUTDOWN
    with pytest.raises(KeyError):
        await supervisor.stop_child("x")
    assert supervisor.children() == ()
    await supervisor.stop()


@pytest.mark.case(55)
async def test_children_of_one_class_need_no_ids(house):
    """Three of the same class start (the article's E8); wrong options are named."""
    supervisor = Supervisor([Recorder, Recorder, Recorder])
    await house(supervisor)
    assert [child.id for child in supervisor.children()] == [0, 1, 2]
    await supervisor.stop()
    default = Child(make=Recorder)
    assert (default.id, default.restart, default.shutdown) == (None, Restart.PERMANENT, 5.0)
    for wrong in ({"make": 5}, {"make": Recorder, "restart": "always"}, {"make": Recorder, "shutdown": -1}):
        with pytest.raises(BadOption):
            Child(**wrong)
    with pytest.raises(BadOption, match="strategy"):
        Supervisor([], strategy="one")
    with pytest.raises(BadOption, match="max_restarts"):
        Supervisor([], max_restarts=-1)


async def test_a_child_that_does_not_stop_is_killed_after_its_shutdown(house):
    """The budget is the child's."""

    class Stubborn(Recorder):
        async def on_stop(self, reason):
            await asyncio.Event().wait()

    supervisor = Supervisor([Child(make=Stubborn, id="x", shutdown=0.01)])
    await house(supervisor)
    stubborn = supervisor.child("x")
    await supervisor.stop()
    assert stubborn.reason is KILLED


def test_delays_grow_to_a_cap_and_are_spread():
    """Base * factor ** (attempt - 1), at most cap, 50 to 100 % of it."""
    backoff = ExponentialBackoff(base=0.1, cap=1.0)
    assert [backoff.delay(attempt, lambda: 0.0) for attempt in (0, 1, 2, 3, 4, 5, 900)] == [
        0.1,
        0.1,
        0.2,
        0.4,
        0.8,
        1.0,
        1.0,
    ]
    assert backoff.delay(1, lambda: 1.0) == pytest.approx(0.05)
    for wrong in ({"base": -1}, {"base": 2, "cap": 1}, {"factor": 0.5}, {"jitter": 2}):
        with pytest.raises(BadOption):
            ExponentialBackoff(**wrong)
