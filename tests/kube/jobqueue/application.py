"""The application that worker pods of these tests run."""

from __future__ import annotations

import asyncio
import os
import time

from penstock import App

if START_GATE := os.environ.get("START_GATE"):
    while not os.path.exists(START_GATE):  # noqa: PTH110 - one stat of a local file
        time.sleep(0.02)

app = App()


@app.task(name="work", queue="emails")
async def work(seconds: float) -> None:
    """Take so long."""
    await asyncio.sleep(seconds)


@app.task(name="hold", queue="emails")
async def hold(gate: str) -> None:
    """Run until that file is there: for tests in which a job must not end before they say so."""
    while not os.path.exists(gate):  # noqa: ASYNC240, PTH110 - one stat of a local file
        await asyncio.sleep(0.02)
