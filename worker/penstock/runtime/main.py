"""The main function of a worker process: logs, schema check, event loop, and an exit that no thread can delay."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from functools import partial

from penstock.app.app import App
from penstock.app.database_source import sources
from penstock.errors import StoreError
from penstock.runtime.process_exit import leave_now, leave_within
from penstock.settings import Settings
from penstock.store import check_login_and_schema, check_schema

from .composition import WorkerComponents
from .config_warnings import log_config_warnings
from .event_loop import Runner, loop_factory
from .observe import logs
from .startup import Startup
from .worker import Worker

logger = logging.getLogger("penstock.worker")

RETRY_SECONDS = 1.0
"""Delay before another start when the database passed the check and then refused the worker's connections."""

EXIT_SECONDS = 10.0
"""For exit handlers and threads of the application; lifespans have the rest of the grace period if that is more."""


def mismatch(app: App, queue: str) -> dict[str, str]:
    """Both sides if no task of the App has this queue, else empty: its jobs are then in other queues by default."""
    queues = sorted({task.queue for task in app.tasks.values()})
    if not queues or queue in queues:
        return {}
    return {"queue": queue, "queues_of_tasks": ",".join(queues), "set_by": "--queue or PENSTOCK_QUEUE"}


def run_worker(app: App, settings: Settings) -> int:
    """Run one worker in this process until it drains; returns the exit code.

    The start waits while the database is unavailable or its schema is not migrated yet.

    Raises:
        ConfigurationError, StoreError: it cannot start; nothing was claimed.
    """
    logs.configure(settings.log_level, settings.log_format)
    url, _ = sources(settings, app.password)

    def check() -> None:
        check_schema(url)
        check_login_and_schema(url, pooled=settings.pooled)

    result = None
    while result is None:
        if not Startup(check, settings).wait():
            return 0
        log_config_warnings(settings, url)
        if extra := mismatch(app, settings.queue):
            logger.warning("no task of this App has the queue of this worker", extra=extra)
        with Runner(loop_factory()) as runner:
            result = runner.run(_run(app, settings))
    code, stuck = result
    if stuck:  # a thread cannot be interrupted; its claim was released
        leave_now(code)
    return code


async def _run(app: App, settings: Settings) -> tuple[int, bool] | None:
    """Exit code, and whether a thread is stuck; None if the database became unavailable before anything started."""
    components = WorkerComponents(app, settings)
    try:
        await components.store.open()
    except StoreError as error:
        components.health.close()
        logger.warning("cannot start yet, retrying", extra={"error": str(error)})
        await asyncio.sleep(RETRY_SECONDS)
        return None
    os.register_at_fork(after_in_child=partial(components.attempts.copied, components.loop))
    gc.collect()
    gc.freeze()  # modules and tasks live as long as the process: no collection needs to visit them
    exit_within = lambda code: leave_within(max(EXIT_SECONDS, components.drain.remaining), code)  # noqa: E731
    code = await Worker(components, on_exit=exit_within).run()
    leave_within(EXIT_SECONDS, code)
    components.threads.shutdown(wait=False, cancel_futures=True)
    return code, bool(components.attempts.in_threads) or components.hooks.stuck
