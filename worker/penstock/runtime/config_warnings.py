"""What a worker was told of its queue, beside what the queue's row says: the row decides, so a difference is said.

A JobQueue or `penstock dev` declares the row and gives the same values to its workers; a worker by itself has no right
to, so what is set on it alone does nothing. Must not stop a start: it is a warning, and where the login may not see the
row, as the role of workers may not, a line that says so. Surprising: values at their defaults are not looked at.
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

PATIENCE_SECONDS = 5.0
"""Until the look at the row is given up."""
OF_THE_ROW = ("max_attempts", "job_deadline_seconds", "retention_seconds")


def given(settings: Settings) -> dict[str, float]:
    """The settings of the queue's row that are not at their defaults, by name."""
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    values = {name: getattr(settings, name) for name in OF_THE_ROW}
    return {name: value for name, value in values.items() if value != defaults[name]}


def differences(settings: Settings, rows: Sequence[QueueRow]) -> list[str]:
    """One sentence for each setting that was given and is not what the row of the queue says."""
    row = next((row for row in rows if row.name == settings.queue), None)
    if row is None or row.declared_by is None:
        said: dict[str, float] = {}
        whose = "and nobody has declared that queue"
    else:
        said = {
            "max_attempts": row.max_attempts,
            "job_deadline_seconds": row.job_deadline or 0.0,
            "retention_seconds": row.retention,
        }
        whose = "where it is {:g}"
    return [
        f"{name} (PENSTOCK_{name.upper()}) is {value:g} here and does nothing: it is declared with queue "
        f"{settings.queue!r}, by a JobQueue or `penstock dev`, {whose.format(said.get(name))}"
        for name, value in given(settings).items()
        if said.get(name) != value
    ]


def log_config_warnings(settings: Settings, url: Url | None = None) -> None:
    """Log a warning for each; asks the database only if there may be one."""
    if not given(settings):
        return
    try:
        with Reader(url or settings.database_url, pooled=settings.pooled, timeout=PATIENCE_SECONDS) as reader:
            rows = reader.queues(cap=1)
    except PenstockError as error:
        named = ", ".join(f"PENSTOCK_{name.upper()}" for name in given(settings))
        logger.info("%s: what is declared with the queue decides, which cannot be seen here: %s", named, error)
        return
    for difference in differences(settings, rows):
        logger.warning("%s", difference)
