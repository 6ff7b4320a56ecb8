"""An App that does not come up: its lifespan hangs in the worker, in its child, or until the file exists that
PENSTOCK_TEST_HANGS names.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from penstock import App
from tests.postgres.jobs import trace

APP = "tests.postgres.worker_process.starting_jobs:app"

app = App()


@app.lifespan
async def hangs() -> AsyncIterator[None]:
    """For longer than any test waits."""
    where = "child" if sys.argv[0] == "penstock child" else "worker"
    trace(f"{where} {os.getpid()}")
    hangs = os.environ["PENSTOCK_TEST_HANGS"]
    if hangs == where:
        await asyncio.sleep(600)
    while hangs.startswith("/") and not Path(hangs).exists():  # noqa: ASYNC240 - the test makes it
        await asyncio.sleep(0.02)
    yield


@app.task(name="in_a_child", queue="q", executor="process")
def in_a_child() -> None:
    """Makes the worker start a child."""
