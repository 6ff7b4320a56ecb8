"""Outages that last: nothing that doubles with each failure may end what repeats."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

from penstock.errors import DatabaseUnavailable
from penstock.job import Finished
from penstock.runtime.claims.acknowledger import JobAcknowledger
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.runtime.retry_delay import MAX_SECONDS, doubled, retry_delay
from penstock.store.listen import max_pause
from tests.unit.runtime.support import completed, job, store_of

LONG = 5_000
"""Failures in a row: above 1,023 a power of two is no float any more, which an outage of an hour reaches."""


class Away:
    """A store that does not answer for a while."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    async def ack(self, worker: int, batch: list[Finished]) -> list[Any]:
        if self.left:
            self.left -= 1
            raise DatabaseUnavailable("away")
        return []


class Unhurried(random.Random):
    """Draws no retry_delay."""

    def uniform(self, a: float, b: float) -> float:
        assert a <= b <= MAX_SECONDS
        return 0.0


async def attach(batch: list[Finished]) -> list[Finished]:
    return batch


async def test_an_outcome_is_acknowledged_after_an_outage_of_any_length():
    """The stage ended with an OverflowError instead, and the worker with it, its outcomes lost."""
    claims_held, answered = HeldClaims(), cast("list[int]", [])
    one = job()
    claims_held.add([one])
    away = Away(LONG)
    acknowledger = JobAcknowledger(
        name="acks",
        store=store_of(away),
        held_claims=claims_held,
        accepted=answered.append,
        rng=Unhurried(1),
        metrics=WorkerMetrics(queue="q", tasks=["work"], version="1"),
        forensics=cast("Any", SimpleNamespace(attach=attach, settled=lambda batch: None)),
    )
    await acknowledger.handle_events([completed(one)], cast("Any", None))
    assert (away.left, len(claims_held), answered) == (0, 0, [1])


def test_wake_ups_come_back_after_an_outage_of_any_length():
    """The listener ended with the same error, in workers and in the operator, and only the poll was left."""
    assert [max_pause(failures) for failures in (1, 4, LONG)] == [0.4, 3.2, 5.0]


def test_pauses_grow_and_stay_within_their_bounds():
    """Of the database, and of children that do not come up: a caller would have waited for ever."""
    rng = random.Random(1)
    assert all(retry_delay(failures, rng) <= MAX_SECONDS for failures in (1, 10, 1023, 1024, LONG))
    assert [doubled(times, maximum=5.0) for times in (0, 1, 5, 6, LONG)] == [0.1, 0.2, 3.2, 5.0, 5.0]
