"""Process-backed pods: a node whose containers are real processes here, each pod on its own loopback address.

Owns: the thread with the event loop in which one namespace's pods live, the Node object, the watch, and the addresses.
Must not judge what the processes do; tests ask `processes()`, `exits()`, `log()` and send `signal()`.

It runs in a thread of its own, so neither a blocked test nor a busy event loop delays the kubelet's
part. Run by root, pods are processes of a user without a passwd entry, a home or a folder to write (`pod_user`). In
place of a mounted service account token a pod gets KUBECONFIG. Not played: other volumes, init containers, preStop
hooks, resource limits.
"""

import asyncio
import contextlib
import itertools
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane
from tests.support.kube_api import KubeApi
from tests.support.pod_container import Exit
from tests.support.pod_env import Image
from tests.support.pod_lag import Lag
from tests.support.pod_node import Node
from tests.support.pod_process import Pod
from tests.support.pod_user import check

START_SECONDS = 120.0
STOP_SECONDS = 120.0
NO_LAG = Lag()
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class ProcessPods:
    """The node of one namespace; `start()` and `stop()` once each.

    Args:
        control_plane: a running one.
        namespace: whose pods it runs.
        images: container image name -> what runs in its place; another image is an ErrImagePull.
        logs: folder for the containers' output, within the test's own folder, which the pods see.
        selector: label selector of the pods that it runs; the others stay Pending. Default all.
        pace: factor on delay and period of readiness and start-up probes; 1.0 is the kubelet's, 0.1 makes 1 s one of
            100 ms. Start-up gets as much time as before; liveness keeps its own, else it would kill who starts slowly.
        lag: how late a pod's readiness is published; none by default.
        restart_seconds: first pause of the restart back-off, doubling to 5 s; the first restart is at once.
    """

    def __init__(
        self,
        *,
        control_plane: ControlPlane,
        namespace: str,
        images: Mapping[str, Image],
        logs: Path,
        selector: str = "",
        pace: float = 1.0,
        lag: Lag = NO_LAG,
        restart_seconds: float = 0.2,
    ) -> None:
        name = f"node-{secrets.token_hex(3)}"
        self.node = Node(
            name=name,
            labels={"kubernetes.io/hostname": name},
            images=images,
            kubeconfig=lambda token: control_plane.kubeconfig(token, namespace=namespace),
            logs=logs,
            pace=pace,
            lag=lag,
            restart_seconds=restart_seconds,
            ended=self._record,
            before_stop=self._before_stop,
        )
        self.before_end: Callable[[str, str], None] = lambda _pod, _address: None
        """What a test wants to do, in a thread, before a pod gets its SIGTERM."""
        self._plane = control_plane
        self._namespace = namespace
        self._selector = selector
        self._exits: list[Exit] = []
        self._victims: dict[str, tuple[str, str | None]] = {}
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._addresses = enumerate(_addresses())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._listed = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name=f"pods of {namespace}", daemon=True)

    def start(self) -> None:
        """Return when the first list of pods has been seen."""
        check()
        self.node.logs.mkdir(parents=True, exist_ok=True)
        for folder in (self.node.logs.parent, self.node.logs):
            folder.chmod(0o755)
        self._thread.start()
        if not self._listed.wait(START_SECONDS) or self._errors:
            self.stop()
            raise RuntimeError(f"the pods of {self._namespace} were not listed within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """Kill every process, delete the pods' objects, end the thread.

        Raises:
            ExceptionGroup: the harness itself failed meanwhile.
        """
        if self._loop is not None and self._main is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself just now
                self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError(f"the pods of {self._namespace} did not end within {STOP_SECONDS:.0f} s")
        if self._errors:
            raise BaseExceptionGroup("process-backed pods failed", self._errors)

    def processes(self) -> dict[str, int]:
        """Pod name -> process id of its first container that runs."""
        alive = {}
        for pod in list(self._pods.values()):
            pids = [container.pid for container in pod.containers if container.pid is not None]
            if pids:
                alive[pod.name] = pids[0]
        return alive

    def addresses(self) -> dict[str, str]:
        """Pod name -> its loopback address, for every pod that is here."""
        return {pod.name: pod.address for pod in list(self._pods.values())}

    def signal(self, pod: str, number: int) -> None:
        """Send a signal to the first process of every container of the pod.

        Raises:
            KeyError: no such pod runs here.
        """
        for container in self._named(pod).containers:
            container.signal(number)

    def kill_for_memory(self, pod: str) -> None:
        """Have the kernel kill every container of the pod for want of memory.

        Raises:
            KeyError: no such pod runs here.
        """
        for container in self._named(pod).containers:
            container.kill_for_memory()

    def _named(self, pod: str) -> Pod:
        return {each.name: each for each in list(self._pods.values())}[pod]

    def lose(self, pod: str) -> None:
        """Take the pod's node away without a word: its processes stop, and its status stays what it was."""
        self._named(pod).silent = True
        self.signal(pod, signal.SIGSTOP)

    def find(self, pod: str) -> None:
        """The node comes back, and its processes go on."""
        self._named(pod).silent = False
        self.signal(pod, signal.SIGCONT)

    def exits(self) -> list[Exit]:
        """Every end of a container so far, in order."""
        return list(self._exits)

    def victims(self) -> dict[str, str | None]:
        """Every pod that was deleted so far, with the deletion cost that it had by then."""
        return dict(self._victims.values())

    def log(self, pod: str) -> str:
        """What the pod's containers wrote, all runs together."""
        files = sorted(self.node.logs.glob(f"{pod}.*.log"))
        return "".join(file.read_text(errors="replace") for file in files)

    def _record(self, ended: Exit) -> None:
        self._exits.append(ended)

    def _before_stop(self, pod: str, address: str) -> None:
        self.before_end(pod, address)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._listed.set()

    async def _live(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        plane = self._plane
        async with KubeApi(url=plane.url, token=plane.admin_token, ca_file=plane.ca_file) as api:
            await self._register(api)
            try:
                await self._follow(api)
            finally:
                await self._remove_all(api)

    async def _register(self, api: KubeApi) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        node = {
            "metadata": {"name": self.node.name, "labels": dict(self.node.labels)},
            "status": {"conditions": [ready]},
        }
        await api.request("POST", "/api/v1/nodes", node)

    async def _follow(self, api: KubeApi) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        async for kind, seen in api.follow(path, labelSelector=self._selector):
            if kind == "LISTED":
                here = {each["metadata"]["uid"] for each in seen}
                for uid in self._pods.keys() - here:
                    self._pods[uid].vanish()
                for each in seen:
                    self._observe(api, each)
                self._listed.set()
            elif kind == "DELETED":
                if pod := self._pods.get(seen["metadata"]["uid"]):
                    pod.vanish()
            else:
                self._observe(api, seen)

    def _observe(self, api: KubeApi, seen: Mapping[str, Any]) -> None:
        uid = seen["metadata"]["uid"]
        if "deletionTimestamp" in seen["metadata"] and uid not in self._victims:
            annotations = seen["metadata"].get("annotations") or {}
            self._victims[uid] = seen["metadata"]["name"], annotations.get(DELETION_COST)
        if uid in self._pods:
            self._pods[uid].observe(seen)
            return
        place, address = next(self._addresses)
        pod = Pod(seen, api=api, node=self.node, address=address, place=place)
        self._pods[uid] = pod
        task = asyncio.create_task(pod.run(), name=f"pod {pod.name}")
        self._tasks[uid] = task
        task.add_done_callback(lambda done: self._forget(uid, done))

    def _forget(self, uid: str, task: "asyncio.Task[None]") -> None:
        self._pods.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def _remove_all(self, api: KubeApi) -> None:
        pods, tasks = list(self._pods.values()), list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(pod.remove() for pod in pods))
        with contextlib.suppress(ApiError, OSError):
            await api.request("DELETE", f"/api/v1/nodes/{self.node.name}")


def _addresses() -> Iterator[str]:
    """Addresses of 127.0.0.0/8 in a row, from a random start, so two runs on one machine do not meet."""
    first = (127 << 24) + (16 << 16) + secrets.randbelow(100 << 16)
    for number in itertools.count(first):
        if number & 0xFF not in {0, 255}:
            yield str(IPv4Address(number))
