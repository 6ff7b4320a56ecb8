"""Warns about settings of a worker that have no effect, because the queue's row in the database has its own values.

A JobQueue or `penstock dev` declares the row and gives the same values to its workers; a worker alone has no right to.
Must not prevent a start: a difference is a warning, and a row that the login may not read is an information. Values at
their defaults are not compared.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from penstock.database.source import Url
from penstock.errors import PenstockError
from penstock.settings import Settings
from penstock.store.inspect.inspection import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.store.inspect.inspection import QueueRow

logger = logging.getLogger("penstock.worker")

TIMEOUT_SECONDS = 5.0
"""For reading the queue's row."""
OF_THE_ROW = ("max_attempts", "job_deadline_seconds", "retention_seconds")


def non_default_settings(settings: Settings) -> dict[str, float]:
    """The settings of the queue's row that are not at their defaults, by name."""
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    values = {name: getattr(settings, name) for name in OF_THE_ROW}
    return {name: value for name, value in values.items() if value != defaults[name]}


def settings_differences(settings: Settings, rows: Sequence[QueueRow]) -> list[dict[str, object]]:
    """Setting, its value here and the value in the queue's row (None: not declared), for each that differs."""
    row = next((row for row in rows if row.name == settings.queue), None)
    declared: dict[str, float] = {}
    if row is not None and row.declared_by is not None:
        declared = {
            "max_attempts": row.max_attempts,
            "job_deadline_seconds": row.job_deadline or 0.0,
            "retention_seconds": row.retention,
        }
    return [
        {"setting": f"PENSTOCK_{name.upper()}", "value": value, "queue": settings.queue, "declared": declared.get(name)}
        for name, value in non_default_settings(settings).items()
        if declared.get(name) != value
    ]


def log_config_warnings(settings: Settings, url: Url | None = None) -> None:
    """Log a warning for each difference; asks the database only if there may be one."""
    if not non_default_settings(settings):
        return
    try:
        with Reader(url or settings.database_url, pooled=settings.pooled, timeout=TIMEOUT_SECONDS) as reader:
            rows = reader.queues(cap=1)
    except PenstockError as error:
        names = ",".join(f"PENSTOCK_{name.upper()}" for name in non_default_settings(settings))
        extra = {"settings": names, "error": str(error)}
        logger.info(
            "settings of the queue have no effect here and cannot be compared with its declaration", extra=extra
        )
        return
    for difference in settings_differences(settings, rows):
        message = "setting has no effect here: the JobQueue or `penstock dev` that declares the queue sets it"
        logger.warning(message, extra=difference)
