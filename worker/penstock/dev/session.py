"""One local run: the parts of local mode put together over one database.

Owns their order. On the way in: connections, declared queues, the fleet, then what drives it. On the way out first what
drives it, so that nobody starts a member again, then the members (drained, then killed), then the connections. A part
that fails ends the run: its exception comes out of the `async with`.
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
from penstock.settings import Settings
from penstock.store import DEPTH, Listener, Maintenance, Store
from penstock.store.inspect.recent_failures import Failures

from .autoscaler import Loop
from .processes import ProcessFleet
from .reload import watch
from .view import Picture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from penstock.jobqueue.policy import QueuePolicy
    from penstock.store.inspect.recent_failures import Failure

    from .processes import Fleet
    from .reaper import Guard

URLS = ("PENSTOCK_DATABASE_URL", "PENSTOCK_DIRECT_URL")
URL_FILES = ("PENSTOCK_DATABASE_URL_FILE", "PENSTOCK_DIRECT_URL_FILE")
DECLARED_BY = "local"
"""What `queue.declared_by` says of queues that `penstock dev` declared."""
CLOSE_SECONDS = 10.0
"""How long members may drain at the end; what they still hold is taken back by lease, so nothing is lost."""
FAILURES_SECONDS = 1.0


def _only(database_url: str) -> dict[str, str]:
    """The variables of this URL; a file that the shell names would win over it."""
    return {**dict.fromkeys(URLS, database_url), **dict.fromkeys(URL_FILES, "")}


@dataclass(slots=True, kw_only=True)
class LocalRun:
    """What goes on, for whoever shows it."""

    title: str
    fleet: ProcessFleet
    loop: Loop
    started_at: float
    failures: Sequence[Failure] = ()
    footer: str = ""

    def picture(self) -> Picture:
        """This moment."""
        return Picture(
            title=self.title,
            elapsed=time.monotonic() - self.started_at,
            queues=self.loop.queues,
            scaled=list(self.loop.scaled),
            failures=self.failures,
            trouble=self.loop.last_error or "",
            footer=self.footer,
        )

    async def look_at(self, failures: Failures) -> None:
        """Keep the latest failures at hand until cancelled."""
        while True:
            with contextlib.suppress(StoreError):  # the loop tells
                self.failures = await failures.recent()
            await asyncio.sleep(FAILURES_SECONDS)

    async def reload_on(self, root: Path | None) -> None:
        """Restart all members after each change of code below `root` until cancelled; None: never."""
        if root is not None:
            await watch(root, self._restart)

    def _restart(self, paths: Sequence[str]) -> None:
        self.footer = f"restarted after a change of {os.path.relpath(paths[0])}" + (" and more" if paths[1:] else "")
        for member in self.fleet.members():
            self.fleet.restart(member.name)


@contextlib.asynccontextmanager
async def local_run(
    *,
    policies: Sequence[QueuePolicy],
    database_url: str,
    log: BinaryIO,
    guard: Guard,
    title: str = "penstock dev",
    reload_root: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    fleet_seen_by_loop: Callable[[ProcessFleet], Fleet] = lambda fleet: fleet,
) -> AsyncIterator[LocalRun]:
    """Run queues on this machine while the block runs.

    Args:
        policies: each queue once.
        title: for the view.
        database_url: direct, with our schema.
        log: takes the members' output.
        guard: ends the members should this process be killed.
        reload_root: restart all members after a change of code below this directory; None: never.
        environ: what members inherit; its PENSTOCK_ variables are the base of their settings.
        fleet_seen_by_loop: wraps the fleet, to watch what the loop does to it.

    Raises:
        ConfigurationError, StoreError: a variable breaks its rule; the database cannot be used.
    """
    base, woken = Settings.from_env({**environ, **_only(database_url)}), asyncio.Event()
    settings = {one.queue_name: worker_settings(one, base=base) for one in policies}
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(database_url, name="penstock dev"))
        failures = await stack.enter_async_context(Failures(database_url))
        fleet = ProcessFleet(settings=settings, log=log, guard=guard, environ=environ, changed=woken.set)
        stack.push_async_callback(fleet.close, grace_seconds=CLOSE_SECONDS)
        loop = Loop(store=store, fleet=fleet_seen_by_loop(fleet), policies=policies, woken=woken)
        run = LocalRun(title=title, fleet=fleet, loop=loop, started_at=time.monotonic())
        listener = Listener(database_url, [DEPTH], lambda *_: woken.set())
        upkeep = Maintenance(store, f"penstock dev {os.getpid()}", base.lease_seconds, time.monotonic)
        await _declare(store, policies, settings)
        async with _beside(loop.run(), listener.run(), upkeep.run(), run.look_at(failures), run.reload_on(reload_root)):
            yield run


async def _declare(store: Store, policies: Sequence[QueuePolicy], settings: Mapping[str, Settings]) -> None:
    for policy in policies:
        told = declaration(policy, settings[policy.queue_name], declared_by=DECLARED_BY, generation=int(time.time()))
        await store.queues.declare(policy.queue_name, **told)


@contextlib.asynccontextmanager
async def _beside(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the parts while the block runs; the first that fails ends the block and the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part, name=f"local-{getattr(part, '__qualname__', part)}") for part in parts]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)
