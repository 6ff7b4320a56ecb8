"""How often the samples of some queues may follow one another: their server decides how long each takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.store import QueueState
from penstock_operator.database.address import Address
from penstock_operator.loops.database_loop import PAUSE_FACTOR, DatabaseLoop
from penstock_operator.metrics import OperatorMetrics


class SlowSampler:
    """Answers every sample of some queues with nothing, and says that decoding it took this long."""

    def __init__(self, seconds: float, states: Mapping[str, QueueState] | None) -> None:
        self.seconds, self.states, self.samples = seconds, states, 0

    async def sample_some(self, *_: Any, **__: Any) -> Mapping[str, QueueState] | None:
        self.samples += 1
        return self.states


def loop_over(sampler: SlowSampler) -> DatabaseLoop:
    """A loop without JobQueues, that has just sampled all of them."""
    made = DatabaseLoop(
        address=Address(url="postgresql://localhost/x", direct_url="postgresql://localhost/x"),
        holder="a",
        members=list,
        make=cast("Any", None),
        metrics=OperatorMetrics(leading=lambda: True),
        may_act=lambda: True,
        opened=lambda _: None,
    )
    made.sampler = cast("Any", sampler)
    made.scope.sampled_all({}, 60.0)
    return made


DATABASE = cast("Any", SimpleNamespace(listening=True))


@pytest.mark.parametrize("seconds", [0.02, 0.2])
async def test_a_sample_of_some_queues_is_followed_by_a_rest_of_three_times_its_length(seconds: float):
    """A hostile server could else keep the operator busy: it wakes it, and answers at length."""
    sampler = SlowSampler(seconds, {})
    loop, started = loop_over(sampler), time.monotonic()
    left = await loop.tick(DATABASE)
    assert time.monotonic() - started >= PAUSE_FACTOR * seconds
    assert (sampler.samples, left > 0) == (1, True)


async def test_a_sample_that_is_not_answered_is_followed_by_one_of_all_queues():
    """At once: what failed says nothing about which queues have work."""
    loop = loop_over(SlowSampler(0.0, None))
    assert await loop.tick(DATABASE) == 0.0
    assert not loop.scope.suffices({})
