"""Writes the schedules of the App to the database when a worker starts, and retries until it has.

Owns which ones: those of the worker's queue. What the database has from code and the App has not is marked removed:
a redeploy is followed. A schedule that a JobQueue declares under the same name stays the JobQueue's, which is logged.
"""

from __future__ import annotations

import asyncio
import logging
import random

from penstock.errors import StoreError
from penstock.schedules import Schedule
from penstock.store import Store

from .retry_delay import retry_delay

logger = logging.getLogger("penstock.worker")


async def declare_schedules(store: Store, queue: str, schedules: tuple[Schedule, ...], *, rng: random.Random) -> None:
    """Declare the schedules of a queue, however long the database is unavailable.

    Args:
        store: open.
        queue: the worker's.
        schedules: of the whole App; those of other queues are left to their workers.
        rng: spreads the attempts of many pods.
    """
    ours = [one for one in schedules if one.queue == queue]
    failures = 0
    while True:
        try:
            verdicts = await store.schedules.declare(queue, "code", ours)
        except StoreError as error:
            failures += 1
            logger.warning("cannot declare schedules yet, retrying", extra={"error": str(error)})
            await asyncio.sleep(retry_delay(failures, rng))
        else:
            break
    for name, verdict in verdicts.items():
        if verdict == "overridden":
            logger.warning("schedule is declared by the JobQueue, code is not used", extra={"schedule": name})
        elif verdict != "unchanged":
            logger.info("schedule %s", verdict, extra={"schedule": name})
