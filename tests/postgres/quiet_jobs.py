"""An App that configures logging as the standard library's documentation does; a task that blocks the event loop."""

from __future__ import annotations

import logging
import logging.config
import sys
import time
from collections.abc import AsyncIterator

from penstock import App
from tests.postgres.jobs import go

PATH = "tests.postgres.quiet_jobs:app"

app = App()


def configure() -> None:
    """All loggers that are there are disabled, all handlers are closed and removed."""
    logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL", "handlers": []}})
    logging.disable(logging.CRITICAL)


if "pytest" not in sys.modules:  # the tests import this module too, and keep their logging
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
