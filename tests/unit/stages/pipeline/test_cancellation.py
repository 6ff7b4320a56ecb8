"""A kill of any layer of a pipeline at any turn: each event is acknowledged or released, exactly once (P13, 115)."""

# mypy: disable-error-code="index,var-annotated"

import asyncio
import gc
from collections import Counter as Tally

import pytest

from penstock.stages import DummyProducer, Envelope, ExponentialBackoff, Pipeline, State

from ..doubles import settle, turns
from .test_pipeline import Acks

EVENTS = 9


async def handle(envelope):
    """Takes a turn, and fails on three."""
    await asyncio.sleep(0)
    if envelope.data == 3:
        envelope.fail("three")


async def store(envelopes, info):
    """Takes two turns."""
    await turns(2)


async def one_run(layer, step, problems):
    """Push, kill one stage of the layer after `step` turns, stop. True: it came too late."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    acks = Acks()
    pipeline = Pipeline("p", resubscribe=ExponentialBackoff(base=0, cap=0), supervision={"backoff": None})
    pipeline.source(DummyProducer).process(handle, concurrency=2, max_demand=2).batch("db", store, size=2, timeout=60)
    await pipeline.start()
    stage = next(stage for stage in pipeline.running.stages() if str(stage.name[1]).startswith(layer))
    pipeline.push([Envelope(number, acknowledger=acks, ref=number) for number in range(EVENTS)])
    await turns(step)
    over = len(acks.calls) == EVENTS
    stage.kill()
    await settle()
    await pipeline.stop(timeout=0.05)
    await settle()
    acked = Tally(data for _, ok, failed in acks.calls for data in [*ok, *failed])
    assert acked + Tally(acks.released) == Tally(range(EVENTS)), (layer, step)
    assert stage.state is State.ENDED
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return over


@pytest.mark.case(115)
@pytest.mark.parametrize("layer", ["source", "processor", "batcher", "worker"])
def test_a_kill_at_any_turn_of_a_pipeline_settles_every_event_once(layer):
    """Whatever the layer and the turn; nothing is left running."""
    problems = []
    for step in range(60):
        if asyncio.run(one_run(layer, step, problems)):
            break
    gc.collect()
    assert step > 10
    assert not problems
