"""`penstock schedules declare`: write the schedules of an App to the database, as its workers do when they start.

For a job of the release: a queue at zero replicas has no worker that could write them, and would never tick.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from penstock.app.loading import load_app
from penstock.errors import ConfigurationError

from .bulk_command import on_store
from .database import OutputOption, database_urls
from .enqueue import AppOption
from .filters import DryRunOption
from .output import Format, table, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.app.app import App
    from penstock.schedules import Schedule
    from penstock.store import DeadLetters

_COLUMNS: Final = ("queue", "schedule", "result")
_RESULTS: Final = {"overridden": "not used: the JobQueue declares it"}


def declare_schedules_of_app(
    *,
    app: AppOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Write the schedules of an App to the database.

    Those of all queues of its tasks; workers do the same for their queue when they start. Run it in a job of the
    release if queues scale to zero: their schedules would otherwise wait for the first worker. A schedule that is no
    longer in the code is removed. The database is PENSTOCK_DATABASE_URL.

    Example: penstock schedules declare --app shop.jobs:app
    """
    path = app or os.environ.get("PENSTOCK_APP", "")
    if not path:
        raise ConfigurationError("no App: give --app or PENSTOCK_APP, as package.module:attribute")
    declared = by_queue(load_app(path))
    rows = [(queue, one.name, "would be declared") for queue, found in declared.items() for one in found]
    if not dry_run:
        rows = on_store(database_urls(None, None), lambda store: _declare(store, declared))
    value = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    write(output, value, drawn=table(_COLUMNS, rows), empty="the App has no schedules")


def by_queue(app: App) -> dict[str, list[Schedule]]:
    """The schedules of an App by queue; empty for a queue whose tasks have none, where old ones are removed."""
    queues = {task.queue for task in app.tasks.values()} | {one.queue for one in app.schedules}
    return {queue: [one for one in app.schedules if one.queue == queue] for queue in sorted(queues)}


async def _declare(store: DeadLetters, declared: Mapping[str, Sequence[Schedule]]) -> list[tuple[str, str, str]]:
    rows = []
    for queue, found in declared.items():
        verdicts = await store.schedules.declare(queue, "code", found)
        rows += [(queue, name, _RESULTS.get(verdict, verdict)) for name, verdict in verdicts.items()]
    return rows
