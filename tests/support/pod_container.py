"""One container of a process-backed pod: its process, restarts, probes and the status that the API shows of it.

Owns: the process from spawn until everything that it forked has exited. Must not speak to the API server; its pod does.

When a container's first process exits, everything that it left running is killed too, as the kernel does with a process
namespace. Leftovers are found by a marker in their environment, because they may have left the process group.
"""

import asyncio
import contextlib
import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.pod_env import ALL_ADDRESSES, LISTENS, ContainerConfigError, Fetch, Image, command_line, environment
from tests.support.pod_leftovers import MARKER, marked
from tests.support.pod_messages import last_output
from tests.support.pod_probes import verdicts
from tests.support.pod_user import as_user, read_only_root, user_of

RESTART_SECONDS_MAX = 5.0  # the kubelet doubles from 10 s to 300 s; tests double from `restart_seconds` to this
_START_ERROR = 128  # what a container runtime reports when the command cannot be executed


@dataclass(frozen=True, slots=True)
class Exit:
    """One exit of one container: `code` as the kubelet reports it, 128 + the number for a signal."""

    pod: str
    container: str
    pid: int
    code: int
    ran_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a container needs to know of its pod.

    Args:
        pod: the object as last seen.
        address: the pod's own.
        image: None if nobody mapped the container's image.
        fetch: reads a Secret or ConfigMap of the namespace.
        env: what the node adds to the container's environment.
        log: file that takes stdout and stderr.
        shared: folder of the test, which the processes see; what they are to write there must be open to others.
        changed: called after every change of the status.
        ended: called with every exit.
        pace: factor on the times of readiness and start-up probes.
        restart_seconds: first pause before a second restart in a row.
    """

    pod: Callable[[], Mapping[str, Any]]
    address: str
    image: Image | None
    fetch: Fetch
    env: Mapping[str, str]
    log: Path
    shared: Path
    changed: Callable[[], None]
    ended: Callable[[Exit], None]
    pace: float
    restart_seconds: float


class Container:
    """`run()` it as a task; `terminate()` and `kill()` end it from outside."""

    def __init__(self, spec: Mapping[str, Any], surroundings: Surroundings) -> None:
        self.name = str(spec["name"])
        self.pid: int | None = None
        self.ready = False
        self.started = False
        self.restarts = 0
        self.out_of_memory = False
        self._spec = spec
        self._around = surroundings
        self._stopping = asyncio.Event()
        self._env: dict[str, str] = {}
        self._state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self._last_state: dict[str, Any] = {}
        self._log_start = 0

    def status(self) -> dict[str, Any]:
        """The containerStatus of the Kubernetes API."""
        return {
            "name": self.name,
            "image": self._spec["image"],
            "imageID": self._spec["image"] if self._around.image else "",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self._state,
            "lastState": self._last_state,
        }

    @property
    def final_code(self) -> int | None:
        """The exit code, if it has ended for good or between two runs."""
        terminated = self._state.get("terminated")
        return int(terminated["exitCode"]) if terminated else None

    def terminate(self) -> None:
        """SIGTERM to the first process, and no restart after it."""
        self._stopping.set()
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything of this container, and no restart after it."""
        self._stopping.set()
        self._kill_everything()

    def kill_for_memory(self) -> None:
        """SIGKILL by the kernel, which the kubelet reports as OOMKilled; a container that may restart does."""
        self.out_of_memory = True
        self._kill_everything()

    def signal(self, number: int) -> None:
        """Send a signal to the first process, if there is one."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def run(self) -> None:
        """Run, and run again as the restart policy says; return when it will not run again."""
        policy = self._around.pod()["spec"].get("restartPolicy", "Always")
        pause, failures = self._around.restart_seconds, 0
        while not self._stopping.is_set():
            try:
                code = await self._run_once()
            except _ImageUnknownError as error:
                self._wait_for("ErrImagePull" if failures == 0 else "ImagePullBackOff", str(error))
            except ContainerConfigError as error:
                self._wait_for("CreateContainerConfigError", str(error))
            else:
                if policy == "Never" or (policy == "OnFailure" and code == 0) or self._stopping.is_set():
                    return
                self.restarts += 1
                self._last_state = self._state
                if failures == 0:  # the first restart is at once
                    failures += 1
                    continue
                self._wait_for("CrashLoopBackOff", f"back-off restarting failed container {self.name}")
            failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, RESTART_SECONDS_MAX)

    async def _run_once(self) -> int:
        process, started = await self._spawn(), datetime.now(UTC)
        if process is None:
            self._record_end(started, 0, _START_ERROR)
            return _START_ERROR
        self.pid = process.pid
        self._change(state={"running": {"startedAt": _stamp(started)}})
        if self._stopping.is_set():  # asked to end while the process was being made
            self.signal(signal.SIGTERM)
        probing = asyncio.create_task(self._probe(), name=f"probes of {self.name}")
        try:
            code = await process.wait()
        finally:
            self._kill_everything()
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            if process.returncode is None:
                await process.wait()
        code = code if code >= 0 else 128 - code
        self._record_end(started, process.pid, code)
        return code

    async def _spawn(self) -> asyncio.subprocess.Process | None:
        around = self._around
        if around.image is None:
            raise _ImageUnknownError(f'image "{self._spec["image"]}" not found')
        pod = around.pod()
        self._env = await environment(self._spec, pod=pod, image=around.image, fetch=around.fetch)
        self._env.update(around.env)
        if self._env.get(LISTENS) in ALL_ADDRESSES:  # those of the pod, which has one here and no network of its own
            self._env[LISTENS] = around.address
        self._env[MARKER] = f"{pod['metadata']['uid']}/{self.name}"
        line = command_line(self._spec, image=around.image, env=self._env)
        command = self._as_user(line)
        with around.log.open("ab") as log:
            self._log_start = log.tell()
            if shutil.which(line[0], path=self._env["PATH"]) is None:
                log.write(f"exec: {line[0]}: executable file not found in $PATH\n".encode())
                return None
            try:
                return await asyncio.create_subprocess_exec(
                    *command,
                    env=self._env,
                    cwd=around.image.folder or "/",
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                log.write(f"{error}\n".encode())
                return None

    def _as_user(self, command: list[str]) -> list[str]:
        around = self._around
        assert around.image is not None
        user, folder = user_of(around.pod(), self._spec), around.image.folder or Path("/")
        sealed = read_only_root(self._spec)
        return as_user(command, user=user, folder=folder, needs=[around.shared], tmp_read_only=sealed)

    async def _probe(self) -> None:
        if "startupProbe" in self._spec:
            async for success in self._verdicts("startupProbe"):
                if not success:
                    await self._end_unhealthy()
                    return
                break
        self._change(started=True, ready="readinessProbe" not in self._spec)
        async with asyncio.TaskGroup() as group:
            if "readinessProbe" in self._spec:
                group.create_task(self._follow_readiness(), name=f"readiness of {self.name}")
            if "livenessProbe" in self._spec:
                group.create_task(self._follow_liveness(), name=f"liveness of {self.name}")

    async def _follow_readiness(self) -> None:
        async for success in self._verdicts("readinessProbe"):
            if success is not self.ready:
                self._change(ready=success)

    async def _follow_liveness(self) -> None:
        async for success in self._verdicts("livenessProbe"):
            if not success:
                await self._end_unhealthy()
                return

    async def _end_unhealthy(self) -> None:
        self.signal(signal.SIGTERM)
        await asyncio.sleep(self._around.pod()["spec"].get("terminationGracePeriodSeconds", 30))
        self._kill_everything()

    def _verdicts(self, kind: str) -> Any:
        ports = {port["name"]: port["containerPort"] for port in self._spec.get("ports", ()) if "name" in port}
        around, probe = self._around, self._spec[kind]
        pace = 1.0 if kind == "livenessProbe" else around.pace
        if kind == "startupProbe":  # asked more often, but no less patient: a process does not start faster
            probe = {**probe, "failureThreshold": math.ceil(probe.get("failureThreshold", 3) / pace)}
        if "exec" in probe:
            probe = {**probe, "exec": {"command": self._as_user(probe["exec"]["command"])}}
        return verdicts(probe, address=around.address, ports=ports, env=self._env, pace=pace)

    def _kill_everything(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        if marker := self._env.get(MARKER):
            for pid in marked(marker):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _record_end(self, started: datetime, pid: int, code: int) -> None:
        now = datetime.now(UTC)
        self.pid = None
        ended = {"exitCode": code, "startedAt": _stamp(started), "finishedAt": _stamp(now)}
        ended |= last_output(self._spec, self._around.log, self._log_start, code)
        reason = "StartError" if pid == 0 else "Completed" if code == 0 else "Error"
        reason, self.out_of_memory = ("OOMKilled" if self.out_of_memory else reason), False
        pod = self._around.pod()["metadata"]["name"]
        self._around.ended(Exit(pod, self.name, pid, code, (now - started).total_seconds()))
        self._change(state={"terminated": {**ended, "reason": reason}}, ready=False, started=False)

    def _wait_for(self, reason: str, message: str) -> None:
        self._change(state={"waiting": {"reason": reason, "message": message}}, ready=False, started=False)

    def _change(
        self, *, state: dict[str, Any] | None = None, ready: bool | None = None, started: bool | None = None
    ) -> None:
        self._state = self._state if state is None else state
        self.ready = self.ready if ready is None else ready
        self.started = self.started if started is None else started
        self._around.changed()


class _ImageUnknownError(Exception):
    """The test mapped no command to this image."""


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
