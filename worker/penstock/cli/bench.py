"""`penstock bench`: measure the throughput and wait of this database and machine, in a scratch queue that it deletes.

A real worker process drains the queue. Rates and waits come from the outcomes, on the database's clock; start-up time
does not count. The application's queues are not touched, but they share the server, which is busy for that time.
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
from penstock.plural import plural

from .bulk_command import ProgressBar
from .database import DatabaseUrls, JobQueueOption, Namespace, OutputOption, database_urls
from .output import Format, pairs, write

if TYPE_CHECKING:
    from penstock.store.bench_queue import Scratch

app = App()
"""The App of the worker process."""
BATCH: Final = 1000
IDLE_SAMPLES: Final = 20
SAMPLE_SECONDS: Final = 0.05
EXIT_SECONDS: Final = 30.0


@app.task(name="penstock.bench:noop")
async def noop() -> None:
    """Do nothing: the measured time is Penstock's own."""


def bench(
    *,
    count: Annotated[int, typer.Option("--jobs", help="Number of jobs.", min=1, max=1_000_000)] = 10_000,
    concurrency: Annotated[int, typer.Option(help="Concurrency of the worker.", min=1, max=10_000)] = 500,
    timeout: Annotated[
        float, typer.Option(help="Seconds after which the benchmark stops and cleans up.", min=1)
    ] = 300.0,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Measure enqueue and drain rates with no-op jobs.

    The jobs run in a scratch queue, which is deleted afterwards with its outcomes: only the owner of the schema may do
    that. The server is busy for some seconds.

    Example: penstock bench --jobs 20000
    """
    from penstock.store.bench_queue import Scratch  # noqa: PLC0415 - the driver is loaded when it is needed

    urls = database_urls(jobqueue, namespace)
    until = time.monotonic() + timeout
    with Scratch(urls.url) as scratch, App(urls.url, pooled=urls.pooled) as client:
        enqueued = _enqueue(client, scratch.queue, count)
        with _worker(urls, scratch.queue, concurrency) as exited:
            _drain(scratch, count, until, exited)
            drained = scratch.drained()
            last = _idle(client, scratch, until, exited)
            waits = scratch.drained(last)
    _check(count, drained.ended, drained.jobs)
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


def _check(count: int, outcomes: int, jobs: int) -> None:
    """Every job must have one outcome."""
    if (outcomes, jobs) != (count, count):
        found = f"{plural(outcomes, 'outcome')} of {plural(jobs, 'job')}"
        raise PenstockError(f"bench: enqueued {plural(count, 'job')}, found {found}")


def _enqueue(client: App, queue: str, count: int) -> float:
    """Enqueue the jobs; return the seconds that it took."""
    task = noop.options(queue=queue)
    started = time.perf_counter()
    with ProgressBar(count, "enqueueing") as progress:
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            client.enqueue_many(task.job() for _ in range(size))
            progress.advance(size)
    return time.perf_counter() - started


@contextmanager
def _worker(urls: DatabaseUrls, queue: str, concurrency: int) -> Iterator[Callable[[], str | None]]:
    """Run a worker for the scratch queue; yields a function that returns why it exited, None while it runs."""
    settings: dict[str, Any] = {
        "DATABASE_URL": urls.url,
        "DIRECT_URL": urls.direct_url,
        "DATABASE_URL_FILE": "",
        "DIRECT_URL_FILE": "",
        "QUEUE": queue,
        "CONCURRENCY": concurrency,
        "HTTP_PORT": 0,
        "LOG_LEVEL": "error",
        "DRAIN_TIMEOUT_SECONDS": 5,
        "MAX_DEMAND": "",
        "MIN_DEMAND": "",
    }
    environ = {**os.environ, **{f"PENSTOCK_{name}": str(value) for name, value in settings.items()}}
    command = [sys.executable, "-m", "penstock", "worker", "penstock.cli.bench:app"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def exited() -> str | None:
        if process.poll() is None:
            return None
        written = process.stderr.read() if process.stderr else ""
        return written.strip().rpartition("\n")[2] or f"exit code {process.returncode}"

    try:
        yield exited
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _drain(scratch: Scratch, count: int, until: float, exited: Callable[[], str | None]) -> None:
    with ProgressBar(count, "draining") as progress:
        while left := scratch.left():
            if (reason := exited()) is not None:
                raise PenstockError(f"bench: the worker exited: {reason}")
            if time.monotonic() > until:
                raise PenstockError(f"bench: timed out with {left:,} of {plural(count, 'job')} left; raise --timeout")
            progress.to(count - left)
            time.sleep(SAMPLE_SECONDS)
        progress.to(count)


def _idle(client: App, scratch: Scratch, until: float, exited: Callable[[], str | None]) -> int:
    """Enqueue one job after another for an idle worker; returns the id before the first."""
    task = noop.options(queue=scratch.queue)
    first = 0
    for _ in range(IDLE_SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        [job_id] = client.enqueue_many([task.job()])
        first = first or job_id
        _drain(scratch, 1, until, exited)
    return first - 1
