"""When a sample of some queues is enough, and when all of a database are sampled."""

from __future__ import annotations

import pytest

from penstock_operator.loops.sample_scope import SampleScope


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scope(clock: Clock) -> SampleScope:
    """Of a database with two JobQueues that were sampled just now, the next time in ten seconds."""
    made = SampleScope(clock)
    made.sampled_all({"a": 1, "b": 4}, 10.0)
    return made


def test_at_first_all_queues_are_sampled(clock: Clock):
    """Nothing is known of them yet."""
    assert not SampleScope(clock).suffices({})
    assert SampleScope(clock).left == 0.0


def test_some_are_enough_until_the_clock_wants_all(scope: SampleScope, clock: Clock):
    """A wake-up that was lost is found then."""
    clock.now += 9.9
    assert scope.suffices({"a": 1, "b": 4})
    clock.now += 0.1
    assert not scope.suffices({"a": 1, "b": 4})


@pytest.mark.parametrize(
    "queues", [{"a": 2, "b": 4}, {"a": 1}, {"a": 1, "b": 4, "c": 1}, {}], ids=["changed", "gone", "new", "none"]
)
def test_all_are_sampled_when_the_job_queues_are_not_those_of_before(scope: SampleScope, queues: dict[str, int]):
    """What a JobQueue says stands in the database before its queue is sampled."""
    assert not scope.suffices(queues)


def test_what_moves_shortens_the_time_until_all_are_sampled(scope: SampleScope, clock: Clock):
    """It never lengthens it."""
    scope.within(0.5)
    scope.within(15.0)
    assert scope.left == pytest.approx(0.5)
    clock.now += 0.5
    assert not scope.suffices({"a": 1, "b": 4})


def test_who_wants_all_gets_all(scope: SampleScope):
    """After a failure, and when leadership or the placement of JobQueues changes."""
    scope.want_all()
    assert not scope.suffices({"a": 1, "b": 4})
    assert scope.left == 0.0
