"""Batches of outcomes: at once when full, a moment later when not, each outcome exactly once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.job import Finished
from penstock.runtime.execution.outcome_batcher import BATCH, LINGER_BUSY_SECONDS, LINGER_SECONDS, OutcomeBatcher
from tests.unit.runtime.support import completed, job

pytestmark = pytest.mark.looptime


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


class Emitted:
    """A batcher and its batches, each with its time."""

    def __init__(self, *, busy: bool = False) -> None:
        self.batches: list[tuple[float, Sequence[Finished]]] = []
        self.busy = busy
        self.batcher = OutcomeBatcher(emit=lambda batch: self.batches.append((now(), batch)), busy=lambda: self.busy)

    def add(self, count: int = 1) -> list[Finished]:
        made = [completed(job()) for _ in range(count)]
        for outcome in made:
            self.batcher.add(outcome)
        return made

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for _, batch in self.batches]


@pytest.mark.parametrize(("busy", "linger"), [(False, LINGER_SECONDS), (True, LINGER_BUSY_SECONDS)])
async def test_an_outcome_waits_for_others_and_longer_while_many_are_about_to_come(busy, linger):
    """From the first of the batch on; later ones do not postpone it."""
    emitted = Emitted(busy=busy)
    first = emitted.add()
    await asyncio.sleep(linger / 2)
    second = emitted.add()
    assert emitted.batches == []
    await asyncio.sleep(linger)
    assert [batch for _, batch in emitted.batches] == [first + second]
    assert emitted.batches[0][0] == pytest.approx(linger)


async def test_a_full_batch_is_emitted_at_once_and_the_next_one_starts_empty():
    """Nothing is emitted twice when the timer of the first batch would have fired."""
    emitted = Emitted()
    made = emitted.add(BATCH - 1)
    assert emitted.batches == []
    made += emitted.add()
    assert emitted.sizes == [BATCH]
    more = emitted.add(3)
    await asyncio.sleep(1)
    assert emitted.sizes == [BATCH, 3]
    assert [outcome for _, batch in emitted.batches for outcome in batch] == made + more


async def test_each_batch_has_its_own_timer():
    """An outcome long after the last batch is not emitted alone at once, nor never."""
    emitted = Emitted()
    emitted.add()
    await asyncio.sleep(1)
    emitted.add()
    assert len(emitted.batches) == 1
    await asyncio.sleep(1)
    assert emitted.sizes == [1, 1]
    assert emitted.batches[1][0] == pytest.approx(1 + LINGER_SECONDS)


async def test_a_flush_emits_what_is_there_and_an_empty_one_emits_nothing():
    """A drain flushes whether or not anything waits."""
    emitted = Emitted()
    emitted.batcher.flush()
    assert emitted.batches == []
    emitted.add(2)
    emitted.batcher.flush()
    assert emitted.sizes == [2]
    await asyncio.sleep(1)
    assert emitted.sizes == [2]


async def test_a_closed_batcher_emits_nothing_by_itself_and_keeps_what_it_has():
    """The stage is gone; the lease covers what was not acknowledged."""
    emitted = Emitted()
    emitted.add(2)
    emitted.batcher.close()
    emitted.batcher.close()
    await asyncio.sleep(1)
    assert emitted.batches == []
    emitted.batcher.flush()
    assert emitted.sizes == [2]
