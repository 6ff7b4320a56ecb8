"""Starts the stages of a worker and subscribes them to one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.stages import CancelMode, Stage

from .claims.acknowledger import JobAcknowledger
from .claims.claimer import Claimer
from .execution.consumers import Consumers
from .execution.outcome_batcher import BATCH


async def start_stages(
    claimer: Claimer,
    consumers: Consumers,
    acknowledgers: Sequence[JobAcknowledger],
    stopped: Callable[[Stage, object], object],
) -> None:
    """Start all stages, then subscribe from the last one back: demand is emitted last.

    Args:
        claimer: the producer.
        consumers: run the attempts.
        acknowledgers: share the outcomes.
        stopped: called with a stage and the reason when it stops.
    """
    stages: list[Stage] = [claimer, consumers, *acknowledgers]
    for stage in stages:
        await stage.start()
        stage.watch(stopped)
    for acknowledger in acknowledgers:
        await acknowledger.subscribe(consumers, max_demand=8 * BATCH, min_demand=4 * BATCH, cancel=CancelMode.TEMPORARY)
    consumers.attach(await consumers.subscribe(claimer, mode="manual", cancel=CancelMode.TEMPORARY))
