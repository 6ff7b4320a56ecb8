"""An App that configures logging as the standard library's documentation does; a task that blocks the event loop.

For worker processes only: a test that imported it would have no log any more, nor would any other.
"""

from __future__ import annotations

import logging
import logging.config
import time
from collections.abc import AsyncIterator

from penstock import App
from tests.postgres.jobs import go

app = App()


def configure() -> None:
    """All loggers that are there are disabled, all handlers are closed and removed."""
    logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL", "handlers": []}})
    logging.disable(logging.CRITICAL)


configure()


@app.lifespan
async def opened() -> AsyncIterator[None]:
    configure()
    yield


def careless() -> None:
    while not go().exists():
        time.sleep(0.01)


@app.task(name="careless", queue="q")
async def blocking() -> None:
    configure()
    careless()
