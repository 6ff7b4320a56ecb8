"""The application whose workers the chart's tests run: one task that takes a moment."""

import asyncio

from penstock import App

app = App()


@app.task(name="nap", queue="naps")
async def nap(seconds: float) -> None:
    """Take a moment."""
    await asyncio.sleep(seconds)
