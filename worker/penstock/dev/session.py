"""One session of `penstock dev`: workers, autoscaler, maintenance and reload over one database.

Owns their order. Start: connections, declared queues, the fleet, then the tasks that drive it. Stop: first the tasks,
because they could start a worker again, then the workers (drained, then killed), then the connections. If a task fails,
the session ends, and its exception leaves the `async with`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.cancellation import cancel_and_wait
from penstock.errors import StoreError
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.plural import plural
from penstock.settings import Settings
from penstock.store import DEPTH, Listener, Maintenance, Store
from penstock.store.inspect.recent_failures import Failures
from penstock.store.queue_declarations import declarations

from .autoscaler import Autoscaler
from .processes import ProcessFleet
from .reload import watch
from .schedule_ticks import declared_schedules
from .view import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from penstock.jobqueue.policy import QueuePolicy
    from penstock.store.inspect.recent_failures import FailedAttempt

    from .processes import Fleet
    from .reaper import Reaper

URLS = ("PENSTOCK_DATABASE_URL", "PENSTOCK_DIRECT_URL")
URL_FILES = ("PENSTOCK_DATABASE_URL_FILE", "PENSTOCK_DIRECT_URL_FILE")
DECLARED_BY = "local"
"""The value of `queue.declared_by` for queues that `penstock dev` declared."""
CLOSE_SECONDS = 10.0
"""Grace period of workers at exit; jobs that they still hold are rescued when their lease expires."""
FAILURES_SECONDS = 1.0


def _url_variables(database_url: str) -> dict[str, str]:
    """The variables for this URL; those that name a file are cleared, because a file wins over a URL."""
    return {**dict.fromkeys(URLS, database_url), **dict.fromkeys(URL_FILES, "")}


@dataclass(slots=True, kw_only=True)
class Session:
    """The running parts, and what the view shows of them."""

    title: str
    fleet: ProcessFleet
    autoscaler: Autoscaler
    started_at: float
    failures: Sequence[FailedAttempt] = ()
    footer: str = ""
    left_alone: Sequence[str] = ()
    explain: bool = False

    def status(self) -> Status:
        """The state at this moment."""
        return Status(
            title=self.title,
            elapsed=time.monotonic() - self.started_at,
            queues=self.autoscaler.queues,
            scaled=list(self.autoscaler.scaled),
            failures=self.failures,
            last_error=self.autoscaler.last_error or "",
            footer=self.footer,
            explain=self.explain,
        )

    async def refresh_failures(self, failures: Failures) -> None:
        """Read the newest failures every second until cancelled."""
        while True:
            with contextlib.suppress(StoreError):  # the autoscaler reports it
                self.failures = await failures.recent()
            await asyncio.sleep(FAILURES_SECONDS)

    async def restart_on_change(self, root: Path | None) -> None:
        """Restart all workers after each change of code below `root`, until cancelled; None: never."""
        if root is not None:
            await watch(root, self._restart)

    def _restart(self, paths: Sequence[str]) -> None:
        more = f" and {plural(len(paths) - 1, 'more file')}" if paths[1:] else ""
        self.footer = f"restarted workers: {os.path.relpath(paths[0])}{more} changed"
        for worker in self.fleet.workers():
            self.fleet.restart(worker.name)


@contextlib.asynccontextmanager
async def open_session(
    *,
    policies: Sequence[QueuePolicy],
    database_url: str,
    log: BinaryIO,
    reaper: Reaper,
    title: str = "penstock dev",
    reload_root: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    wrap_fleet: Callable[[ProcessFleet], Fleet] = lambda fleet: fleet,
) -> AsyncIterator[Session]:
    """Run queues on this machine while the block runs.

    Args:
        policies: each queue once.
        title: title of the view.
        database_url: URL without a pooler, of a database with the schema.
        log: file for the workers' output.
        reaper: stops the workers if this process is killed.
        reload_root: restart all workers after a change of code below this directory; None: never.
        environ: environment of the workers; its PENSTOCK_ variables are the base of their settings.
        wrap_fleet: wraps the fleet that the autoscaler gets, to observe its calls.

    Raises:
        ConfigurationError, StoreError: a variable is invalid; the database cannot be used.
    """
    base, woken = Settings.from_env({**environ, **_url_variables(database_url)}), asyncio.Event()
    settings = {one.queue_name: worker_settings(one, base=base) for one in policies}
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(database_url, name="penstock dev"))
        failures = await stack.enter_async_context(Failures(database_url))
        fleet = ProcessFleet(settings=settings, log=log, reaper=reaper, environ=environ, changed=woken.set)
        stack.push_async_callback(fleet.close, grace_seconds=CLOSE_SECONDS)
        autoscaler = Autoscaler(store=store, fleet=wrap_fleet(fleet), policies=policies, woken=woken)
        session = Session(title=title, fleet=fleet, autoscaler=autoscaler, started_at=time.monotonic())
        session.left_alone = await stack.enter_async_context(_declared(store, policies, settings))
        parts = _store_parts(store, database_url, base.lease_seconds, woken)
        session_parts = (autoscaler.run(), session.refresh_failures(failures), session.restart_on_change(reload_root))
        async with _in_background(*parts, *session_parts):
            yield session


def _store_parts(
    store: Store, database_url: str, lease_seconds: float, woken: asyncio.Event
) -> tuple[Coroutine[Any, Any, None], ...]:
    """Wake-ups of the autoscaler, and maintenance of the database."""
    listener = Listener(database_url, [DEPTH], lambda *_: woken.set())
    maintenance = Maintenance(store, f"penstock dev {os.getpid()}", lease_seconds, time.monotonic)
    return listener.run(), maintenance.run()


@contextlib.asynccontextmanager
async def _declared(
    store: Store, policies: Sequence[QueuePolicy], settings: Mapping[str, Settings]
) -> AsyncIterator[Sequence[str]]:
    """Declare the queues, and their schedules while the block runs; yields a sentence for each that is left alone."""
    generation, standing = time.time_ns() // 1000, await declarations(store)
    owners = {name: one.declared_by for name, one in standing.items()}
    ours = [one for one in policies if owners.get(one.queue_name, DECLARED_BY) == DECLARED_BY]
    for policy in ours:
        declared = declaration(policy, settings[policy.queue_name], declared_by=DECLARED_BY, generation=generation)
        await store.queues.declare(policy.queue_name, declared)

    async def still_ours() -> set[str]:
        mine = DECLARED_BY, generation
        with contextlib.suppress(StoreError):
            found = await declarations(store)
            return {name for name, one in found.items() if (one.declared_by, one.generation) == mine}
        return set()

    async with declared_schedules(store, ours, owners, still_ours):
        yield [_left_alone(one.queue_name, owners[one.queue_name]) for one in policies if one not in ours]


def _left_alone(queue: str, owner: str) -> str:
    return f"Queue {queue} is declared by {owner}, not by penstock dev; its declaration and schedules stay as they are."


@contextlib.asynccontextmanager
async def _in_background(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the coroutines while the block runs; if one fails, the others and the block are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part, name=f"dev-{getattr(part, '__qualname__', part)}") for part in parts]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)
