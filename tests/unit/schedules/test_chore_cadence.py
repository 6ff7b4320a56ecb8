"""When maintenance fires, settles and comes again: on a clock of the test's own, with prepared answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from penstock.store.connections import Connections
from penstock.store.due_schedules import Fired
from penstock.store.schedule_chores import (
    IDLE_SETTLE_SECONDS,
    MIN_PAUSE,
    PRUNE_BATCH,
    RESTING_SECONDS,
    SETTLE_REST,
    SETTLE_SECONDS,
    ScheduleChores,
)
from penstock.store.schedules import Schedules


@dataclass
class Answers(Schedules):
    """Prepared answers; `now` is the clock, and a settlement takes `duration` seconds of it."""

    jobs: int = 0
    next_due: float | None = None
    still_open: int = 0
    duration: float = 0.0
    now: float = 0.0
    settled_at: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(Connections("postgresql://nowhere.invalid/none", name="test", lanes=1, pooled=False))

    async def fire_due(self, limit: int = 200) -> Fired:
        return Fired(jobs=self.jobs, next_due=self.next_due)

    async def settle(self, limit: int = 5000) -> tuple[int, int]:
        self.settled_at.append(self.now)
        self.now += self.duration
        return 0, self.still_open

    async def prune(self, limit: int = 5000) -> int:
        assert limit == PRUNE_BATCH
        return self.batches.pop(0)


def chores(answers: Answers) -> ScheduleChores:
    return ScheduleChores(answers, lambda: answers.now)


async def test_ticks_that_fire_in_every_call_do_not_put_settlement_off():
    """Settled once a second, although a tick fires twice a second."""
    answers = Answers(jobs=1, still_open=1)
    made = chores(answers)
    for half in range(9):
        answers.now = half / 2
        await made.fire()
    assert answers.settled_at == [1.0, 2.0, 3.0, 4.0]
    assert made.fired == 9


@pytest.mark.parametrize(
    ("duration", "still_open", "rest"),
    [
        (0.0, 1, SETTLE_SECONDS),
        (0.0, 0, IDLE_SETTLE_SECONDS),
        (0.5, 1, SETTLE_REST * 0.5),
        (0.5, 0, IDLE_SETTLE_SECONDS),
    ],
)
async def test_the_rest_after_a_settlement_follows_what_it_cost_and_what_is_open(duration, still_open, rest):
    """Not sooner, and then with the next call."""
    answers = Answers(still_open=still_open, duration=duration)
    made = chores(answers)
    await made.fire()
    answers.now = SETTLE_SECONDS
    assert await made.fire() == pytest.approx(min(RESTING_SECONDS, rest))
    ended = answers.now
    for answers.now in (ended + rest - 0.01, ended + rest):
        await made.fire()
    assert answers.settled_at == [SETTLE_SECONDS, ended + rest]


@pytest.mark.parametrize(("next_due", "pause"), [(None, 5.0), (3600.0, 5.0), (2.5, 2.5), (0.0, MIN_PAUSE)])
async def test_the_next_call_comes_with_the_next_tick_and_at_least_every_few_seconds(next_due, pause):
    """Another process may declare a schedule meanwhile; a tick that is due does not make a busy loop."""
    answers = Answers()
    made = chores(answers)
    for answers.now in (0.0, SETTLE_SECONDS):
        await made.fire()
    answers.next_due = next_due
    answers.now += 0.1
    assert await made.fire() == pytest.approx(pause)


async def test_pruning_goes_on_until_a_batch_is_not_full():
    """And counts all of them."""
    answers = Answers(batches=[PRUNE_BATCH, PRUNE_BATCH, 7, 1])
    assert await chores(answers).prune() == 2 * PRUNE_BATCH + 7
    assert answers.batches == [1]
