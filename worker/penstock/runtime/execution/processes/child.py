"""One child process, as the worker sees it: started, given a job, interrupted, killed, reaped.

Owns the process, its pipe and its output. Must not decide what an outcome is or when to kill. A thread waits for its
exit in the kernel; a closed pipe does not show it, because a task may have forked and the copy holds the pipe. The
thread only waits (WNOWAIT), and the event loop alone signals and reaps: a signal never hits another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from penstock.job import ClaimedJob
from penstock.runtime.process_state import here

from .log_capture import CapturedOutput
from .protocol import (
    HEAD,
    AttemptOutcome,
    Claim,
    Failed,
    Hello,
    Interrupt,
    Progress,
    Ready,
    RunJob,
    Stop,
    ToChild,
    ToWorker,
    Until,
    body_length,
    claim_of,
    encode,
    from_child,
)
from .stats import describe_exit, exit_reason

logger = logging.getLogger("penstock.child")

BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from penstock.early_signals import ignore_signals; ignore_signals(); "
    "from penstock.runtime.execution.processes.child_main import main; main(int(sys.argv[1]))"
)
LAST_FRAMES_SECONDS: Final = 0.5
"""The pipe of a dead child is read at most this long, if something else holds it open."""

ReportProgress = Callable[[dict[str, float | str]], None]


class ChildLost(Exception):  # noqa: N818 - a signal to the executor
    """The child process exited while it ran a job. `killed`: why the worker killed it; None if it did not."""

    def __init__(self, how: str, *, killed: str | None, said: list[str]) -> None:
        super().__init__(how)
        self.how, self.killed, self.said = how, killed, said


class ChildHandle:
    """A process that runs one job at a time.

    Args:
        hello: its first frame.
        gone: called in the event loop after its exit.
    """

    def __init__(self, hello: Hello, gone: Callable[[ChildHandle], None]) -> None:
        self._hello, self._gone = hello, gone
        self._loop = asyncio.get_running_loop()
        self.jobs = 0
        self.resident = 0
        """Bytes of memory after its last job."""
        self.code: int | None = None
        """Exit code after its exit; minus the number of a signal that killed it."""
        self.until: float | None = None
        """When an exclusive attempt stops itself, by the last frame sent."""
        self.end = "crash"
        """Why it exited, after its exit: one of stats.EXIT_REASONS."""
        self._killed: str | None = None
        self._leaving: str | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._current: tuple[Claim, asyncio.Future[AttemptOutcome]] | None = None
        self._heard = True
        """Its pipe is open and had only frames."""
        self._report: ReportProgress = _ignore
        self.ended = asyncio.Event()

    async def start(self, seconds: float) -> None:
        """Start the process and wait until its App is imported and its lifespans are entered.

        Raises:
            ChildLost: it did not start within `seconds`, or at all; it was killed.
        """
        try:
            ours = self._spawn()
        except OSError as error:  # no memory, process or file left
            raise ChildLost(f"cannot be started: {error}", killed=None, said=[]) from error
        self._outputs: list[CapturedOutput] = []
        try:
            for name, level in (("stdout", logging.INFO), ("stderr", logging.WARNING)):
                self._outputs.append(self._output(name, level))
            threading.Thread(target=self._wait, name=f"penstock-child-{self.pid}", daemon=True).start()
        except (OSError, RuntimeError) as error:  # no file, no thread left
            self._abandon(ours)
            raise ChildLost(f"cannot be watched: {error}", killed="start", said=[]) from error
        self._reading = self._loop.create_task(self._read(ours), name=f"child {self.pid}")
        try:
            async with asyncio.timeout(seconds):
                await self._ready
        except TimeoutError:
            await self._kill_and_reap()
            raise ChildLost(f"not ready within {seconds:g} s", killed="start", said=self.said) from None
        except BaseException:
            await self._kill_and_reap()
            raise

    def _spawn(self) -> socket.socket:
        """Start the process; returns the worker's side of its pipe."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as stack:
            stack.callback(ours.close)
            command = [sys.executable, "-c", BOOT, str(theirs.fileno()), *sys.path]
            self._process = subprocess.Popen(  # not asyncio's, which would reap it
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=here.environment,
                cwd=here.folder,
            )
            self.pid = self._process.pid
            stack.pop_all()
        return ours

    def _abandon(self, ours: socket.socket) -> None:
        """Kill and reap a process that was just started and has no thread that waits for it."""
        ours.close()
        self.kill("start")
        self.code = self._process.wait()
        for output in self._outputs:
            output.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    async def _kill_and_reap(self) -> None:
        self.kill("start")
        await self.ended.wait()

    def _output(self, name: str, level: int) -> CapturedOutput:
        stream = self._process.stdout if name == "stdout" else self._process.stderr
        assert stream is not None
        with stream:
            return CapturedOutput(os.dup(stream.fileno()), child=self.pid, stream=name, level=level, loop=self._loop)

    @property
    def said(self) -> list[str]:
        """Its last lines of standard error."""
        return list(self._outputs[1].last)

    @property
    def idle(self) -> bool:
        """True if it runs no job and can start one."""
        return self._current is None and self.code is None and self._killed is None and self._heard

    def start_job(
        self, job: ClaimedJob, *, until: float | None, report: ReportProgress
    ) -> asyncio.Future[AttemptOutcome]:
        """Start a job; the future gets its outcome, or ChildLost.

        Args:
            job: the claimed job.
            until: for an exclusive task: when to exit by itself, on the monotonic clock.
            report: called with the progress that the attempt reports.
        """
        future: asyncio.Future[AttemptOutcome] = self._loop.create_future()
        self._current, self._report, self.until = (claim_of(job), future), report, until
        for output in self._outputs:
            output.job = job
        self.jobs += 1
        if self.code is None:
            self._write(RunJob(job=job, until=until))
        else:  # it exited since it was chosen
            self._current = None
            future.set_exception(ChildLost(describe_exit(self.code), killed=None, said=self.said))
        return future

    def prolong(self, until: float) -> None:
        """The lease was renewed: an exclusive job may go on until then."""
        self.until = until
        self._write(Until(until))

    def interrupt(self) -> None:
        """Ask the current attempt to stop."""
        if self._current is not None:
            self._write(Interrupt(self._current[0]))

    def stop(self, reason: str) -> None:
        """Ask it to exit when its job is done. `reason`: one of stats.EXIT_REASONS."""
        self._leaving = self._leaving or reason
        self._write(Stop())

    def kill(self, reason: str) -> None:
        """Kill it and the processes that its tasks started. Does nothing after its exit."""
        if self.code is None:
            self._killed = self._killed or reason
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _write(self, frame: ToChild) -> None:
        if self.code is None and self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(frame))

    # -- what comes back ------------------------------------------------------------------------------------------

    async def _read(self, pipe: socket.socket) -> None:
        """Read frames until the pipe is closed, or has something else in it."""
        reader, self._writer = await asyncio.open_connection(sock=pipe)
        self._write(self._hello)
        try:
            while True:
                head = await reader.readexactly(HEAD)
                self._take(from_child(await reader.readexactly(body_length(head))))
        except (asyncio.IncompleteReadError, ConnectionError):
            logger.debug("pipe of a child process closed", extra={"child": self.pid})
        except ValueError as error:
            logger.error("child process wrote an invalid frame", extra={"child": self.pid, "error": str(error)})
        self._heard = False
        self._loop.call_later(LAST_FRAMES_SECONDS, self.kill, "pipe")  # unless it exits first

    def _take(self, frame: ToWorker) -> None:
        match frame:
            case Ready() if not self._ready.done():
                self._ready.set_result(None)
            case Failed() if not self._ready.done():
                self._ready.set_exception(ChildLost(frame.reason, killed=None, said=[]))
                self._ready.exception()
            case Failed():
                logger.error("lifespan of a child process failed", extra={"child": self.pid, "error": frame.reason})
            case Progress() if self._current is not None and self._current[0] == frame.claim:
                note: dict[str, float | str] = {} if frame.note is None else {"note": frame.note}
                self._report({"done": frame.done, "total": frame.total, **note})
            case AttemptOutcome() if self._current is not None and self._current[0] == frame.claim:
                (_, future), self._current = self._current, None
                self.resident = frame.resident
                if not future.done():
                    future.set_result(frame)

    # -- its exit -------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """The waiting thread."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed, nothing needs it
            self._loop.call_soon_threadsafe(self._exited)

    def _exited(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what it forked; its process id is not reused yet
        self.code = self._process.wait()
        self._finishing = self._loop.create_task(self._finish(), name=f"exit of child {self.pid}")

    async def _finish(self) -> None:
        await asyncio.wait([self._reading], timeout=LAST_FRAMES_SECONDS)
        self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        for output in self._outputs:
            output.close()
        late = self.until is not None and time.monotonic() >= self.until
        self.end = exit_reason(leaving=self._leaving, killed=self._killed, busy=self._current is not None, late=late)
        lost = ChildLost(describe_exit(self.code or 0), killed=self._killed, said=self.said)
        for future in (self._ready, self._current and self._current[1]):
            if future is not None and not future.done():
                future.set_exception(lost)
                future.exception()  # read here, because its waiter may be gone
        self._current = None
        self.ended.set()
        self._gone(self)


def _ignore(found: dict[str, float | str]) -> None:
    del found
