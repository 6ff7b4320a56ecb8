"""Worker processes on this machine, in place of a Deployment's pods.

Owns the processes: starts them, restarts one that ended unasked (with a growing pause, as a kubelet does), writes their
output to one log with the member's name before each line, and ends them. It never decides how many there are, and it
knows nothing of the database: whether a worker is idle or drained is told by its row in the registry.

`Fleet` is the interface that the loop needs. A member keeps its name over restarts, as a pod keeps its over container
restarts, so a name may have several rows in the registry; the newest counts.
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

    from .reaper import Guard

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A member that ran for so long has recovered: its next pause is the first again."""


class MemberState(enum.StrEnum):
    """Where a member is; a member that ended for good is no member any more."""

    RUNNING = "running"
    STOPPING = "stopping"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One worker process. `restarts` counts ends that nobody asked for; `last_line` is the last of its output."""

    name: str
    queue: str
    state: MemberState
    pid: int | None
    metrics_url: str
    restarts: int = 0
    last_line: str = ""


class Fleet(Protocol):
    """What the loop needs of whatever runs the workers."""

    def members(self, queue: str) -> Sequence[Member]:
        """The queue's members, oldest first, those that are stopping included."""

    def start(self, queue: str, count: int) -> None:
        """Add members."""

    def stop(self, name: str) -> None:
        """SIGTERM: the member drains and goes."""


@dataclass(slots=True)
class _Running:
    """A member and what belongs to it."""

    member: Member
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    restarting: bool = False
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None


class ProcessFleet:
    """Members as child processes `python -m penstock worker APP --queue NAME`, configured by environment alone.

    Args:
        settings: for each queue what its workers are told; name and port of each member are filled in.
        log: where output goes, opened for bytes.
        guard: ends the members should this process be killed.
        environ: what members inherit; variables of Penstock in it are dropped.
        command: makes the command line of a worker; the default is this interpreter's `-m penstock worker`.
        changed: called after a member started, crashed or went.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Settings],
        log: BinaryIO,
        guard: Guard,
        environ: Mapping[str, str] = os.environ,
        command: Callable[[Settings], Sequence[str]] | None = None,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = dict(settings)
        self._log, self._guard, self._changed, self._clock = log, guard, changed, clock
        self._environ = {name: value for name, value in environ.items() if not name.startswith("PENSTOCK_")}
        self._command = command or _worker
        self._running: dict[str, _Running] = {}
        self.recent_lines: deque[str] = deque(maxlen=200)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def members(self, queue: str | None = None) -> list[Member]:
        """The members of `queue`, or of all, oldest first."""
        return [one.member for one in self._running.values() if queue in {None, one.member.queue}]

    def start(self, queue: str, count: int) -> None:
        """Add `count` members to `queue`."""
        for _ in range(count):
            name = f"{queue}-{secrets.token_hex(3)}"
            settings = replace(self._settings[queue], pod_name=name, http_port=_free_port())
            url = f"http://{endpoint(settings.http_host, settings.http_port)}/metrics"
            member = Member(name=name, queue=queue, state=MemberState.RUNNING, pid=None, metrics_url=url)
            running = self._running[name] = _Running(member, settings)
            running.task = asyncio.create_task(self._supervise(running), name=f"fleet-{name}")
            running.task.add_done_callback(lambda task, name=name: self._ended(name, task))  # type: ignore[misc]

    def stop(self, name: str) -> None:
        """Send SIGTERM once; the member goes when its process has ended. An unknown name is no error: it has gone."""
        running = self._running.get(name)
        if running is None or running.stopping.is_set():
            return
        running.member = replace(running.member, state=MemberState.STOPPING)
        running.stopping.set()
        self._signal(running, signal.SIGTERM)

    def restart(self, name: str) -> None:
        """SIGTERM and a new process under the same name: after a change of code. Not counted as a crash."""
        running = self._running.get(name)
        if running is not None and not running.stopping.is_set() and running.process is not None:
            running.restarting = True
            self._signal(running, signal.SIGTERM)

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """Stop everything; what has not ended within `grace_seconds` is killed."""
        for name in list(self._running):
            self.stop(name)
        tasks = [running.task for running in self._running.values() if running.task]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=grace_seconds)
        finally:  # whoever cannot wait cancels us, and then nobody is waited for
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, running: _Running) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not running.stopping.is_set():
            started = self._clock()
            code = await self._run(running)
            if running.stopping.is_set():
                return
            if running.restarting:
                running.restarting = False
                continue
            if self._clock() - started > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            member = running.member
            running.member = replace(member, state=MemberState.CRASHED, pid=None, restarts=member.restarts + 1)
            self._write(member.name, f"ended with exit code {code}; again in {pause:g} s".encode())
            self._changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await running.stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _run(self, running: _Running) -> int:
        """One process from start to end."""
        output, ours = await self._output_of(running)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(running.settings),
                env={**self._environ, "PYTHONUNBUFFERED": "1", **running.settings.to_env()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=ours,
                stderr=ours,
                start_new_session=True,  # a terminal's Ctrl-C is for us alone: we drain the members
            )
        finally:
            os.close(ours)
        self._guard.watch(process.pid)
        running.process = process
        if running.stopping.is_set():  # while it was being made
            self._signal(running, signal.SIGTERM)
        else:
            running.member = replace(running.member, pid=process.pid, state=MemberState.RUNNING)
        self._changed()
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                self._signal(running, signal.SIGKILL)
                await process.wait()
            running.process = None
            self._guard.forget(process.pid)
            await _finish(output)

    async def _output_of(self, running: _Running) -> tuple[asyncio.Task[None], int]:
        """A task that copies what comes through a pipe, and the pipe's other end.

        Not asyncio's own pipe: its `wait()` waits for the pipe too, and a grandchild may hold that open for ever.
        """
        theirs, ours = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(theirs, "rb", 0)
        )
        task = asyncio.create_task(self._copy_output(running, reader), name=f"output-{running.member.name}")
        task.add_done_callback(lambda _: transport.close())
        return task, ours

    async def _copy_output(self, running: _Running, stream: asyncio.StreamReader) -> None:
        rest = b""
        while data := await stream.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._write(running.member.name, line)
            if lines:
                running.member = replace(running.member, last_line=lines[-1].decode(errors="replace")[:300])
        if rest:
            self._write(running.member.name, rest)

    def _write(self, name: str, line: bytes) -> None:
        self._log.write(f"[{name}] ".encode() + line + b"\n")
        self._log.flush()
        self.recent_lines.append(f"[{name}] {line.decode(errors='replace')[:300]}")

    def _signal(self, running: _Running, number: int) -> None:
        if running.process is not None and running.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                running.process.send_signal(number)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if not task.cancelled() and (error := task.exception()):
            self._write(name, f"could not be run: {error!r}".encode())
        self._changed()


async def _finish(output: asyncio.Task[None]) -> None:
    """Let what is in the pipe be copied, for a second; a grandchild may hold it open."""
    await asyncio.wait([output], timeout=1.0)
    output.cancel()
    await asyncio.gather(output, return_exceptions=True)


def _worker(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "penstock", "worker", settings.app, "--queue", settings.queue]


def _free_port() -> int:
    """A port that is free now; a member that finds it taken ends, and its successor has the same one: a rare loss."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
