"""`penstock dev`: its composition root.

Starts a database (embedded, or given by URL), the workers of the manifests and a view, and stops them in reverse order.
SIGINT or SIGTERM drains the workers; a second one kills them, and no job is lost. A database given by URL is never
migrated here, because that is its owner's decision.
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

from penstock.errors import InvalidSchedule, ManifestError
from penstock.jobqueue.manifests import load_manifests
from penstock.store import check_schema, migrate

from .http import MetricsServer
from .postgres.server import EmbeddedPostgres
from .reaper import Reaper
from .schedule_ticks import manifest_schedules
from .session import open_session
from .view import view_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from penstock.jobqueue.policy import QueuePolicy

    from .session import Session
    from .view import View

SHOW_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """The options of `penstock dev`.

    Attributes:
        files: manifests; a queue may be declared once in all of them.
        database_url: None starts an embedded server.
        data_dir: directory for the embedded server's data; None uses a temporary one, deleted at exit.
        reload: restart the workers when code below the current directory changes.
        log_file: file to append the workers' output to; None uses a temporary file.
        metrics_port: port of `/metrics` and `/sd` on 127.0.0.1; 0 picks a free one.
        explain: show the arithmetic of each decision.
    """

    files: Sequence[Path]
    database_url: str | None = None
    data_dir: Path | None = None
    reload: bool = False
    log_file: Path | None = None
    metrics_port: int = 0
    explain: bool = False


def run_dev(options: DevOptions, *, console: Console | None = None) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        ManifestError: a manifest is invalid; nothing was started.
        ConfigurationError, StoreError: there is no database, or it cannot be used.
    """
    policies = load_policies(options.files)
    with contextlib.suppress(asyncio.CancelledError):  # the second signal
        asyncio.run(_serve(options, policies, console or Console()))


def load_policies(files: Sequence[Path]) -> list[QueuePolicy]:
    """The queues of all files.

    Raises:
        ManifestError: a file is invalid, or two files declare the same queue.
    """
    found: dict[str, QueuePolicy] = {}
    for file in files:
        for manifest in load_manifests(file):
            name = manifest.policy.queue_name
            if name in found:
                raise ManifestError(f"{file}: queue {name!r} is already declared in another file")
            _check_schedules(manifest.policy, file)
            found[name] = manifest.policy
    return list(found.values())


def _check_schedules(policy: QueuePolicy, file: Path) -> None:
    try:
        manifest_schedules(policy)
    except InvalidSchedule as error:
        raise ManifestError(f"{file}: {error}") from error


async def _serve(options: DevOptions, policies: Sequence[QueuePolicy], console: Console) -> None:
    with contextlib.ExitStack() as stack:
        reaper = Reaper()
        stack.callback(reaper.close)
        folder = stack.enter_context(private_folder(reaper))
        stop = stop_on_signals()
        async with database(options) as (url, description):
            log = stack.enter_context((options.log_file or folder / "workers.log").open("ab"))
            root = Path.cwd() if options.reload else None
            async with open_session(
                policies=policies,
                database_url=url,
                log=log,
                reaper=reaper,
                title=f"penstock dev, {description}",
                reload_root=root,
            ) as session:
                session.explain = options.explain
                with (
                    MetricsServer(lambda: session.autoscaler.queues, port=options.metrics_port) as server,
                    view_for(console) as view,
                ):
                    session.footer = f"metrics {server.url}/metrics, workers {server.url}/sd, output {log.name}"
                    url_file = folder / "database-url"
                    write_private(url, url_file)
                    view.print(f"To enqueue from another terminal: export PENSTOCK_DATABASE_URL=$(cat {url_file})")
                    for sentence in session.left_alone:
                        view.print(sentence)
                    await show(session, view, stop)
                    view.print("Draining the workers; press Ctrl-C again to kill them.")


async def show(session: Session, view: View, stop: asyncio.Event) -> None:
    """Update the view until `stop` is set."""
    while not stop.is_set():
        view.show(session.status())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHOW_SECONDS):
                await stop.wait()


@contextlib.asynccontextmanager
async def database(options: DevOptions) -> AsyncIterator[tuple[str, str]]:
    """The URL of a database with the schema, and its description for the title.

    Raises:
        SchemaMissing, SchemaMismatch: a database given by URL has no schema, or one of another release.
    """
    if options.database_url is not None:
        await asyncio.to_thread(check_schema, options.database_url)
        yield options.database_url, "database given by URL"
        return
    server = EmbeddedPostgres(data_dir=options.data_dir, durable=options.data_dir is not None)
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(migrate, server.url)
        yield server.url, f"embedded PostgreSQL {server.version}"
    finally:
        await asyncio.to_thread(server.close)


@contextlib.contextmanager
def private_folder(reaper: Reaper) -> Iterator[Path]:
    """A temporary directory that only this user can read; deleted at exit, even after SIGKILL."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-dev-"))
    reaper.remove(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_private(url: str, path: Path) -> None:
    """Write the URL to a file that only its owner can read, because a password must not be on the terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "w", encoding="utf-8")) as file:
        file.write(url)


def stop_on_signals() -> asyncio.Event:
    """The first SIGINT or SIGTERM sets the event; the second cancels this task, which ends every wait."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def received() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)
    return stop
