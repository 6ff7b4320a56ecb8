"""Retries the registration if the database fails after the check at startup, as a running worker does.

By then the application's lifespans have been entered, so the worker stays in this process rather than starting again.
Its pages are served, and readiness says what it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from penstock.errors import StoreError

from .claims.lease import Lease
from .retry_delay import retry_delay
from .startup import REPEAT_SECONDS, is_final

logger = logging.getLogger("penstock.worker")


async def registered(lease: Lease, draining: asyncio.Event, *, rng: random.Random) -> bool:
    """Register, however long the database is unavailable; False if a drain is requested before that.

    Args:
        lease: opened once the database has the worker's row; its `last_error` is the last error until then.
        draining: set when a drain is requested.
        rng: spreads the attempts of many pods.

    Raises:
        StoreError: only a new process can cure it.
    """
    started = time.monotonic()
    failures, logged_at = 0, float("-inf")
    while not draining.is_set():
        try:
            await asyncio.to_thread(lease.open)
        except StoreError as error:
            if is_final(error, waited=time.monotonic() - started):
                raise
            if str(error) != lease.last_error or time.monotonic() - logged_at > REPEAT_SECONDS:
                logged_at = time.monotonic()
                logger.warning("cannot register yet, retrying", extra={"error": str(error)})
            lease.last_error = str(error)
            failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(retry_delay(failures, rng)):
                    await draining.wait()
        else:
            lease.last_error = None
            return True
    return False
