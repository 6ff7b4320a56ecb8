"""An App that does not come up: its lifespan hangs in the worker or in its child, as PENSTOCK_TEST_HANGS says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from penstock import App
from tests.postgres.jobs import trace

APP = "tests.postgres.starting_jobs:app"

app = App()


@app.lifespan
async def hangs() -> AsyncIterator[None]:
    """For longer than any test waits."""
    where = "child" if sys.argv[0] == "penstock child" else "worker"
    trace(f"{where} {os.getpid()}")
    if os.environ["PENSTOCK_TEST_HANGS"] == where:
        await asyncio.sleep(600)
    yield


@app.task(name="in_a_child", queue="q", executor="process")
def in_a_child() -> None:
    """Makes the worker start a child."""
