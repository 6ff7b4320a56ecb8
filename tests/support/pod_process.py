"""One process-backed pod, from binding to the removal of its object: the part of scheduler and kubelet that it needs.

Owns: the pod's status in the API (phase, addresses, conditions, containers) and how it stops: SIGTERM, grace, SIGKILL,
then deletion with grace 0. Must not watch; `pods.py` hands over what the watch says.

Status is written from one place, a loop that publishes the newest state, so writes never overtake
each other; conditions of others (readiness gates) stay, for the patch merges by type.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.support.api_client import ApiError
from tests.support.kube_api import STRATEGIC_MERGE, KubeApi
from tests.support.pod_container import Container, Surroundings
from tests.support.pod_env import ContainerConfigError, decode
from tests.support.pod_node import Node
from tests.support.pod_user import give, user_of

_UNREACHABLE = (aiohttp.ClientError, TimeoutError)


class Pod:
    """`run()` it as a task; `observe()` brings each newer version of the object, `vanish()` its disappearance."""

    def __init__(self, seen: Mapping[str, Any], *, api: KubeApi, node: Node, address: str, place: int) -> None:
        self.name = str(seen["metadata"]["name"])
        self.uid = str(seen["metadata"]["uid"])
        self.address = address
        self.containers: list[Container] = []
        self._seen: Mapping[str, Any] = seen
        self._api = api
        self._node = node
        self._path = f"/api/v1/namespaces/{seen['metadata']['namespace']}/pods/{self.name}"
        self.silent = False
        """Whether its node has lost contact: nothing is published any more."""
        self._gone = False
        self._news = asyncio.Event()
        self._dirty = asyncio.Event()
        self._since: dict[str, tuple[str, str]] = {}
        self._access: dict[str, str] = {}
        self._started_at = _now()
        self._readiness = node.lag.of(place, self._publish_after)

    def observe(self, seen: Mapping[str, Any]) -> None:
        """The watch saw this version; one that our own write has overtaken is ignored."""
        if _version(seen) > _version(self._seen):
            self._seen = seen
        self._news.set()
        self._dirty.set()  # a readiness gate may have moved

    def vanish(self) -> None:
        """The object is gone: nothing may run for it any more."""
        self._gone = True
        self._news.set()
        for container in self.containers:
            container.kill()

    async def run(self) -> None:
        """Bind, run, end, and remove the object; returns when nothing of it is left."""
        if not await self._bound() or self._seen.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return
        self._access = await self._api_access()
        self.containers = [Container(spec, self._around(spec)) for spec in self._seen["spec"]["containers"]]
        tasks = [asyncio.create_task(one.run(), name=f"{self.name}/{one.name}") for one in self.containers]
        running = asyncio.gather(*tasks)
        running.add_done_callback(lambda _: self._news.set())
        publishing = asyncio.create_task(self._publish(), name=f"status of {self.name}")
        self._dirty.set()
        try:
            await self._until(
                lambda: self._gone or "deletionTimestamp" in self._seen["metadata"] or _has_failed(running)
            )
            await self._end(running)
        finally:
            for container in self.containers:
                container.kill()
            publishing.cancel()
            await asyncio.gather(running, publishing, return_exceptions=True)
        if not self._gone:
            await self._push()
            await self.remove()

    async def remove(self) -> None:
        """Delete the object for good, as the kubelet does after the last process has ended."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        with contextlib.suppress(ApiError, *_UNREACHABLE):
            await self._api.request("DELETE", self._path, options)

    async def _bound(self) -> bool:
        """Bind to our node; False if the pod is another node's or is gone before it fits."""
        while not self._gone:
            self._news.clear()
            if node := self._seen["spec"].get("nodeName"):
                return bool(node == self._node.name)
            wanted = self._seen["spec"].get("nodeSelector") or {}
            if not wanted.items() <= self._node.labels.items():
                await self._unschedulable()
                await self._news.wait()
                continue
            target = {"apiVersion": "v1", "kind": "Node", "name": self._node.name}
            try:
                binding = {"metadata": {"name": self.name, "uid": self.uid}, "target": target}
                await self._api.insist("POST", f"{self._path}/binding", binding)
            except ApiError as error:
                if error.status == 404:
                    return False
                if error.status != 409:  # 409: bound already, the watch will say so
                    raise
            return True
        return False

    async def _api_access(self) -> dict[str, str]:
        """The environment by which a pod that mounts a token reaches the API server with its account's rights."""
        spec, metadata = self._seen["spec"], self._seen["metadata"]
        sources = [
            each for volume in spec.get("volumes", ()) for each in volume.get("projected", {}).get("sources", ())
        ]
        if not any("serviceAccountToken" in source for source in sources):
            return {}
        account = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{spec['serviceAccountName']}"
        answer = await self._api.insist("POST", f"{account}/token", {"spec": {"expirationSeconds": 3600}})
        file = self._node.logs / f"{self.name}.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(self._node.kubeconfig(answer["status"]["token"]))
        give(file, user_of(self._seen, {}))
        return {"KUBECONFIG": str(file)}

    async def _unschedulable(self) -> None:
        message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        if condition.items() <= self._condition_seen("PodScheduled").items():
            return
        with contextlib.suppress(ApiError, *_UNREACHABLE):
            body = {"metadata": {"uid": self.uid}, "status": {"conditions": [condition]}}
            await self._api.request("PATCH", f"{self._path}/status", body, content_type=STRATEGIC_MERGE)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while True:
            self._news.clear()
            if condition():
                return
            await self._news.wait()

    async def _end(self, running: "asyncio.Future[list[None]]") -> None:
        """SIGTERM, then wait until all containers have exited; SIGKILL when the grace period is over."""
        loop = asyncio.get_running_loop()
        stopping_since = loop.time()
        if not self._gone:
            await asyncio.to_thread(self._node.before_stop, self.name, self.address)
        for container in self.containers:
            container.terminate()
        while not self._gone and not running.done():
            # A second deletion may shorten the grace period, so it is read again.
            left = stopping_since + self._seen["metadata"].get("deletionGracePeriodSeconds", 30) - loop.time()
            if left <= 0:
                break
            self._news.clear()
            news = asyncio.create_task(self._news.wait(), name=f"news of {self.name}")
            awaited: set[asyncio.Future[Any]] = {running, news}
            await asyncio.wait(awaited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        for container in self.containers:
            container.kill()
        await running

    def _publish_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds + 0.001, self._dirty.set)

    async def _publish(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._push():
                await asyncio.sleep(0.05)
                self._dirty.set()

    async def _push(self) -> bool:
        if self.silent:
            return True
        status = self._status()
        known = self._seen.get("status", {})
        if all(known.get(key) == status[key] for key in ("phase", "podIP", "containerStatuses")) and all(
            self._condition_seen(each["type"]).get("status") == each["status"] for each in status["conditions"]
        ):
            return True
        body = {"metadata": {"uid": self.uid}, "status": status}
        try:
            seen = await self._api.request("PATCH", f"{self._path}/status", body, content_type=STRATEGIC_MERGE)
        except ApiError as error:
            return error.status == 404  # gone: nothing to say any more
        except _UNREACHABLE:
            return False
        if _version(seen) > _version(self._seen):
            self._seen = seen
        return True

    def _status(self) -> dict[str, Any]:
        containers = [container.status() for container in self.containers]
        ready = all(container.ready for container in self.containers)
        ready = self._readiness.published(ready, asyncio.get_running_loop().time())
        gates = [gate["conditionType"] for gate in self._seen["spec"].get("readinessGates", ())]
        open_gates = all(self._condition_seen(gate).get("status") == "True" for gate in gates)
        states = {"Initialized": True, "ContainersReady": ready, "Ready": ready and open_gates}
        return {
            "phase": self._phase(),
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "hostIP": "127.0.0.1",
            "startTime": self._started_at,
            "conditions": [self._condition(name, value) for name, value in states.items()],
            "containerStatuses": containers,
        }

    def _phase(self) -> str:
        codes = [container.final_code for container in self.containers]
        over = all(code is not None for code in codes)
        policy = self._seen["spec"].get("restartPolicy", "Always")
        deleted = "deletionTimestamp" in self._seen["metadata"]
        if over and (deleted or policy == "Never" or (policy == "OnFailure" and not any(codes))):
            return "Failed" if any(codes) else "Succeeded"
        started = all(one.restarts or "waiting" not in one.status()["state"] for one in self.containers)
        return "Running" if started else "Pending"

    def _condition(self, name: str, value: bool) -> dict[str, Any]:
        status = str(value)
        if self._since.get(name, ("", ""))[0] != status:
            self._since[name] = (status, _now())
        return {"type": name, "status": status, "lastTransitionTime": self._since[name][1]}

    def _condition_seen(self, name: str) -> Mapping[str, Any]:
        for condition in self._seen.get("status", {}).get("conditions", ()):
            if condition["type"] == name:
                return dict(condition)
        return {}

    def _around(self, spec: Mapping[str, Any]) -> Surroundings:
        return Surroundings(
            pod=self._with_address,
            address=self.address,
            image=self._node.images.get(spec["image"]),
            fetch=self._fetch,
            env=self._access,
            log=self._node.logs / f"{self.name}.{spec['name']}.log",
            shared=self._node.logs.parent,
            changed=self._dirty.set,
            ended=self._node.ended,
            pace=self._node.pace,
            restart_seconds=self._node.restart_seconds,
        )

    def _with_address(self) -> Mapping[str, Any]:
        addresses = {"podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": "127.0.0.1"}
        spec = {**self._seen["spec"], "nodeName": self._node.name}
        return {**self._seen, "spec": spec, "status": {**self._seen.get("status", {}), **addresses}}

    async def _fetch(self, kind: str, name: str) -> Mapping[str, str] | None:
        namespace = self._seen["metadata"]["namespace"]
        try:
            found = await self._api.request("GET", f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}")
        except (ApiError, *_UNREACHABLE) as error:
            if isinstance(error, ApiError) and error.status == 404:
                return None
            raise ContainerConfigError(f"failed to read {kind} {name}: {error}") from error
        return decode(kind, found)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(seen: Mapping[str, Any]) -> int:
    return int(seen["metadata"]["resourceVersion"])


def _has_failed(running: "asyncio.Future[list[None]]") -> bool:
    return running.done() and not running.cancelled() and running.exception() is not None
