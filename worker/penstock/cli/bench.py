"""`penstock bench`: what this database and this machine can do, measured in a scratch queue that is gone afterwards.

A real worker process drains it. Rates and waits are taken from the outcomes, on the database's clock; start-up does not
count. The application's own queues are not touched, but they share the server: not while it is needed elsewhere.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from penstock.app.app import App
from penstock.errors import PenstockError

from .bulk import Progress
from .database import Address, JobQueue, Namespace, Output, address
from .output import Format, pairs, write

if TYPE_CHECKING:
    from penstock.store.bench import Scratch

app = App()
"""What the worker process runs."""
BATCH: Final = 1000
IDLE_SAMPLES: Final = 20
LOOK_SECONDS: Final = 0.05
END_SECONDS: Final = 30.0


@app.task(name="penstock.bench:noop")
async def noop() -> None:
    """Nothing: what remains is what Penstock costs."""


def bench(
    *,
    count: Annotated[int, typer.Option("--jobs", help="How many.", min=1, max=1_000_000)] = 10_000,
    concurrency: Annotated[int, typer.Option(help="Slots of the worker.", min=1, max=10_000)] = 500,
    timeout: Annotated[float, typer.Option(help="Seconds until it gives up and cleans up.", min=1)] = 300.0,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Enqueue and drain no-op jobs in a scratch queue, and measure; the queue and its outcomes are deleted at the end.

    Needs the schema's owner (it deletes) and as much of the server as it can get for some seconds.

    Example: penstock bench --jobs 20000
    """
    from penstock.store.bench import Scratch  # noqa: PLC0415 - the driver is loaded when it is needed

    where = address(jobqueue, namespace)
    until = time.monotonic() + timeout
    with Scratch(where.url) as scratch, App(where.url, pooled=where.pooled) as client:
        enqueued = _enqueue(client, scratch.queue, count)
        with _worker(where, scratch.queue, concurrency) as ended:
            _drain(scratch, count, until, ended)
            drained = scratch.drained()
            last = _idle(client, scratch, until, ended)
            waits = scratch.drained(last)
    if (drained.ended, drained.jobs) != (count, count):
        raise PenstockError(f"bench: {count} jobs ended {drained.ended} times, {drained.jobs} of them at all")
    value = {
        "jobs": count,
        "each_exactly_once": True,
        "enqueue_per_second": round(count / enqueued),
        "drain_per_second": round(count / max(drained.seconds, 1e-6)),
        "idle_wait_p50_ms": round(waits.wait_p50 * 1000, 2),
        "idle_wait_p95_ms": round(waits.wait_p95 * 1000, 2),
        "concurrency": concurrency,
    }
    write(output, value, drawn=pairs(value))


def _enqueue(client: App, queue: str, count: int) -> float:
    """Seconds that it took."""
    task = noop.options(queue=queue)
    began = time.perf_counter()
    with Progress(count, "enqueueing") as progress:
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            client.enqueue_many(task.job() for _ in range(size))
            progress.advance(size)
    return time.perf_counter() - began


@contextmanager
def _worker(where: Address, queue: str, concurrency: int) -> Iterator[Callable[[], str | None]]:
    """A worker of the scratch queue; gives a function that says why it has ended, if it has."""
    settings: dict[str, Any] = {
        "DATABASE_URL": where.url, "DIRECT_URL": where.direct_url, "DATABASE_URL_FILE": "",
        "DIRECT_URL_FILE": "", "QUEUE": queue, "CONCURRENCY": concurrency,
        "HTTP_PORT": 0, "LOG_LEVEL": "error", "DRAIN_TIMEOUT_SECONDS": 5, "MAX_DEMAND": "", "MIN_DEMAND": "",
    }  # fmt: skip
    environ = {**os.environ, **{f"PENSTOCK_{name}": str(value) for name, value in settings.items()}}
    command = [sys.executable, "-m", "penstock", "worker", "penstock.cli.bench:app"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def ended() -> str | None:
        if process.poll() is None:
            return None
        said = process.stderr.read() if process.stderr else ""
        return said.strip().rpartition("\n")[2] or f"exit code {process.returncode}"

    try:
        yield ended
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _drain(scratch: Scratch, count: int, until: float, ended: Callable[[], str | None]) -> None:
    with Progress(count, "draining") as progress:
        while left := scratch.left():
            if (said := ended()) is not None:
                raise PenstockError(f"bench: the worker has ended: {said}")
            if time.monotonic() > until:
                raise PenstockError(f"bench: {left} of {count} jobs are left at the end of the time")
            progress.to(count - left)
            time.sleep(LOOK_SECONDS)
        progress.to(count)


def _idle(client: App, scratch: Scratch, until: float, ended: Callable[[], str | None]) -> int:
    """One job after another to a worker that sleeps; returns the id before the first."""
    task = noop.options(queue=scratch.queue)
    first = 0
    for _ in range(IDLE_SAMPLES):
        time.sleep(LOOK_SECONDS)
        [job_id] = client.enqueue_many([task.job()])
        first = first or job_id
        _drain(scratch, 1, until, ended)
    return first - 1
