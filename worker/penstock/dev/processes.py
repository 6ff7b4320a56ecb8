"""Worker processes on this machine, in place of a Deployment's pods.

Owns the processes: starts them, restarts those that exit by themselves (with increasing delays, as a kubelet does),
writes their output to one log with the worker's name before each line, and stops them. Must not decide how many there
are, or use the database: a worker's row there says whether it is idle or drained.

`Fleet` is the interface for the autoscaler. A worker keeps its name when it is restarted, as a pod does when its
container is; therefore a name may have several rows in the database, of which the newest counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import secrets
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from penstock.http_server import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.settings import Settings

    from .reaper import Reaper

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""After running for this long, a worker's next restart has the first delay again."""


class WorkerProcessState(enum.StrEnum):
    """State of a worker process; one that was stopped and has exited is no longer in the fleet."""

    RUNNING = "running"
    STOPPING = "stopping"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """One worker process. `restarts` counts unexpected exits; `last_line` is the last line of its output."""

    name: str
    queue: str
    state: WorkerProcessState
    pid: int | None
    metrics_url: str
    restarts: int = 0
    last_line: str = ""


class Fleet(Protocol):
    """The interface through which the autoscaler starts and stops workers."""

    def workers(self, queue: str) -> Sequence[WorkerProcess]:
        """The queue's workers, oldest first, including those that are stopping."""

    def start(self, queue: str, count: int) -> None:
        """Add workers."""

    def stop(self, name: str) -> None:
        """Send SIGTERM; the worker drains and exits."""


@dataclass(slots=True)
class _RunningWorker:
    """A worker with its settings, process and task."""

    worker: WorkerProcess
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    restarting: bool = False
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None


class ProcessFleet:
    """Workers as child processes `python -m penstock worker APP --queue NAME`, configured by environment variables.

    Args:
        settings: settings of each queue's workers; the name and port of each worker are filled in.
        log: binary file for the workers' output.
        reaper: stops the workers if this process is killed.
        environ: environment of the workers; its PENSTOCK_ variables are removed.
        command: builds the command line of a worker; default: this interpreter's `-m penstock worker`.
        changed: called after a worker has started, crashed or exited.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Settings],
        log: BinaryIO,
        reaper: Reaper,
        environ: Mapping[str, str] = os.environ,
        command: Callable[[Settings], Sequence[str]] | None = None,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = dict(settings)
        self._log, self._reaper, self._changed, self._clock = log, reaper, changed, clock
        self._environ = {name: value for name, value in environ.items() if not name.startswith("PENSTOCK_")}
        self._command = command or _command
        self._running: dict[str, _RunningWorker] = {}
        self.recent_lines: deque[str] = deque(maxlen=200)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def workers(self, queue: str | None = None) -> list[WorkerProcess]:
        """The workers of `queue`, or of all queues, oldest first."""
        return [one.worker for one in self._running.values() if queue in {None, one.worker.queue}]

    def start(self, queue: str, count: int) -> None:
        """Add `count` workers to `queue`."""
        for _ in range(count):
            name = f"{queue}-{secrets.token_hex(3)}"
            settings = replace(self._settings[queue], pod_name=name, http_port=_free_port())
            url = f"http://{endpoint(settings.http_host, settings.http_port)}/metrics"
            worker = WorkerProcess(name=name, queue=queue, state=WorkerProcessState.RUNNING, pid=None, metrics_url=url)
            running = self._running[name] = _RunningWorker(worker, settings)
            running.task = asyncio.create_task(self._supervise(running), name=f"fleet-{name}")
            running.task.add_done_callback(lambda task, name=name: self._exited(name, task))  # type: ignore[misc]

    def stop(self, name: str) -> None:
        """Send SIGTERM once; the worker is removed when its process exits. An unknown name is ignored."""
        running = self._running.get(name)
        if running is None or running.stopping.is_set():
            return
        running.worker = replace(running.worker, state=WorkerProcessState.STOPPING)
        running.stopping.set()
        self._signal(running, signal.SIGTERM)

    def restart(self, name: str) -> None:
        """Send SIGTERM and start a new process under the same name, after a change of code; not counted as a crash."""
        running = self._running.get(name)
        if running is not None and not running.stopping.is_set() and running.process is not None:
            running.restarting = True
            self._signal(running, signal.SIGTERM)

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """Stop all workers; those that have not exited within `grace_seconds` are killed."""
        for name in list(self._running):
            self.stop(name)
        tasks = [running.task for running in self._running.values() if running.task]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=grace_seconds)
        finally:  # a cancelled close() kills the workers at once
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, running: _RunningWorker) -> None:
        delay = FIRST_DELAY_SECONDS
        while not running.stopping.is_set():
            started = self._clock()
            code = await self._run(running)
            if running.stopping.is_set():
                return
            if running.restarting:
                running.restarting = False
                continue
            if self._clock() - started > STEADY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            worker = running.worker
            running.worker = replace(worker, state=WorkerProcessState.CRASHED, pid=None, restarts=worker.restarts + 1)
            self._write(worker.name, f"exited with code {code}; restarting in {delay:g} s".encode())
            self._changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await running.stopping.wait()
            delay = min(delay * 2, MAX_DELAY_SECONDS)

    async def _run(self, running: _RunningWorker) -> int:
        """Run one process from start to exit; returns the exit code."""
        output, ours = await self._output_of(running)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(running.settings),
                env={**self._environ, "PYTHONUNBUFFERED": "1", **running.settings.to_env()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=ours,
                stderr=ours,
                start_new_session=True,  # Ctrl-C must reach only this process, which drains the workers
            )
        finally:
            os.close(ours)
        self._reaper.watch(process.pid)
        running.process = process
        if running.stopping.is_set():  # stopped while the process was being created
            self._signal(running, signal.SIGTERM)
        else:
            running.worker = replace(running.worker, pid=process.pid, state=WorkerProcessState.RUNNING)
        self._changed()
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                self._signal(running, signal.SIGKILL)
                await process.wait()
            running.process = None
            self._reaper.forget(process.pid)
            await _finish(output)

    async def _output_of(self, running: _RunningWorker) -> tuple[asyncio.Task[None], int]:
        """A task that copies output from a pipe to the log, and the pipe's write end.

        asyncio's own pipe is not used: its `wait()` waits for the pipe too, and a grandchild may keep that open.
        """
        theirs, ours = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(theirs, "rb", 0)
        )
        task = asyncio.create_task(self._copy_output(running, reader), name=f"output-{running.worker.name}")
        task.add_done_callback(lambda _: transport.close())
        return task, ours

    async def _copy_output(self, running: _RunningWorker, stream: asyncio.StreamReader) -> None:
        rest = b""
        while data := await stream.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._write(running.worker.name, line)
            if lines:
                running.worker = replace(running.worker, last_line=lines[-1].decode(errors="replace")[:300])
        if rest:
            self._write(running.worker.name, rest)

    def _write(self, name: str, line: bytes) -> None:
        self._log.write(f"[{name}] ".encode() + line + b"\n")
        self._log.flush()
        self.recent_lines.append(f"[{name}] {line.decode(errors='replace')[:300]}")

    def _signal(self, running: _RunningWorker, number: int) -> None:
        if running.process is not None and running.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                running.process.send_signal(number)

    def _exited(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if not task.cancelled() and (error := task.exception()):
            self._write(name, f"could not be started: {error!r}".encode())
        self._changed()


async def _finish(output: asyncio.Task[None]) -> None:
    """Copy what is left in the pipe, for at most a second, because a grandchild may keep it open."""
    await asyncio.wait([output], timeout=1.0)
    output.cancel()
    await asyncio.gather(output, return_exceptions=True)


def _command(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "penstock", "worker", settings.app, "--queue", settings.queue]


def _free_port() -> int:
    """A port that is free now; if another process takes it first, the worker exits and is restarted with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
