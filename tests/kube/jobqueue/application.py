"""The application that worker pods of these tests run."""

from __future__ import annotations

import asyncio

from penstock import App

app = App()


@app.task(name="work", queue="emails")
async def work(seconds: float) -> None:
    """Take so long."""
    await asyncio.sleep(seconds)
