"""The application of the scale-down tests: each job writes down when it starts and when it finishes.

A line is appended to the file LONG_JOBS in one write, so that lines of many pods never mix. A job that was interrupted
has started once more than it finished, whatever the database says of it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from penstock import App

app = App()


@app.task(name="long", queue="long-0")
async def long_job(number: int, seconds: float) -> None:
    """Take so long."""
    _note(f"started {number}")
    await asyncio.sleep(seconds)
    _note(f"ended {number}")


def _note(line: str) -> None:
    with Path(os.environ["LONG_JOBS"]).open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())
