"""`penstock dev`: the composition root of local mode.

Puts together a database (embedded, or by URL), the manifests, one local run and a view, and takes them apart again in
the other order, however it ends. SIGINT and SIGTERM drain the workers; a second one kills them, and loses nothing.
A database given by URL is never migrated here: that is the decision of whoever owns it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from penstock.errors import ManifestError
from penstock.store import check_schema, migrate

from ..jobqueue.manifests import load_manifests
from .http import Endpoint
from .postgres.server import EmbeddedPostgres
from .reaper import Guard
from .session import local_run
from .view import view_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from penstock.jobqueue.policy import QueuePolicy

    from .session import LocalRun
    from .view import View

SHOW_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What `penstock dev` was asked for.

    Attributes:
        files: manifests; queues may not repeat over all of them.
        database_url: None: an embedded server.
        data_dir: where the embedded server keeps its data; None: a temporary directory, and all is gone at the end.
        reload: restart the workers after a change of code below the current directory.
        log_file: takes the workers' output, appended; None: a temporary file.
        metrics_port: of `/metrics` and `/sd` on 127.0.0.1; 0: any free one.
    """

    files: Sequence[Path]
    database_url: str | None = None
    data_dir: Path | None = None
    reload: bool = False
    log_file: Path | None = None
    metrics_port: int = 0


def run_dev(options: DevOptions, *, console: Console | None = None) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        ManifestError: of a file; nothing was started.
        ConfigurationError, StoreError: the database cannot be had or used.
    """
    policies = load_policies(options.files)
    with contextlib.suppress(asyncio.CancelledError):  # the second signal
        asyncio.run(_serve(options, policies, console or Console()))


def load_policies(files: Sequence[Path]) -> list[QueuePolicy]:
    """The queues of all files, each once.

    Raises:
        ManifestError: a file is not right, or a queue is in two of them.
    """
    found: dict[str, QueuePolicy] = {}
    for file in files:
        for manifest in load_manifests(file):
            name = manifest.policy.queue_name
            if name in found:
                raise ManifestError(f"{file}: queue {name!r} is declared in another file already")
            found[name] = manifest.policy
    return list(found.values())


async def _serve(options: DevOptions, policies: Sequence[QueuePolicy], console: Console) -> None:
    with contextlib.ExitStack() as stack:
        guard = Guard()
        stack.callback(guard.close)
        folder = stack.enter_context(private_folder(guard))
        stop = stop_on_signals()
        async with database(options) as (url, told):
            log = stack.enter_context((options.log_file or folder / "workers.log").open("ab"))
            root = Path.cwd() if options.reload else None
            async with local_run(
                policies=policies,
                database_url=url,
                log=log,
                guard=guard,
                title=f"penstock dev, {told}",
                reload_root=root,
            ) as run:
                with (
                    Endpoint(lambda: run.loop.queues, port=options.metrics_port) as endpoint,
                    view_for(console) as view,
                ):
                    run.footer = f"metrics {endpoint.url}/metrics, workers {endpoint.url}/sd, output {log.name}"
                    handed = folder / "database-url"
                    hand_over(url, handed)
                    view.say(f"To enqueue from another terminal: export PENSTOCK_DATABASE_URL=$(cat {handed})")
                    await show(run, view, stop)
                    view.say("Draining the workers; once more to kill them.")


async def show(run: LocalRun, view: View, stop: asyncio.Event) -> None:
    """Draw until `stop` is set."""
    while not stop.is_set():
        view.show(run.picture())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHOW_SECONDS):
                await stop.wait()


@contextlib.asynccontextmanager
async def database(options: DevOptions) -> AsyncIterator[tuple[str, str]]:
    """A URL with our schema behind it, and what to call it.

    Raises:
        SchemaMissing, SchemaMismatch: a database given by URL is not migrated.
    """
    if options.database_url is not None:
        await asyncio.to_thread(check_schema, options.database_url)
        yield options.database_url, "database by URL"
        return
    server = EmbeddedPostgres(data_dir=options.data_dir, durable=options.data_dir is not None)
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(migrate, server.url)
        yield server.url, f"embedded PostgreSQL {server.version}"
    finally:
        await asyncio.to_thread(server.close)


@contextlib.contextmanager
def private_folder(guard: Guard) -> Iterator[Path]:
    """A temporary directory that only we can read; gone at the end, even if we are killed."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-dev-"))
    guard.remove(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hand_over(url: str, path: Path) -> None:
    """Write the URL to a file that only its owner can read: a password is not for the terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "w", encoding="utf-8")) as file:
        file.write(url)


def stop_on_signals() -> asyncio.Event:
    """The first SIGINT or SIGTERM sets the event, the second cancels this task: then nobody is waited for."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def received() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)
    return stop
