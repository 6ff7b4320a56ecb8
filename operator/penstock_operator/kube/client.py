"""The API server: apply, scale, status, events, pod annotations, Secrets, leases. The only kubernetes import.

Every call is one HTTP request in a thread of our own, with a deadline, never retried here: the next reconciliation
retries. Errors are mapped once, here. A Secret's content leaves only through `secret`.

Whether this replica still leads is checked in the thread, immediately before a write is sent: between the decision and
that moment a call may have waited for a thread, and the process may have been frozen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes import client, config

from .. import errors
from ..resources.large_objects import decode_jobqueue
from ..resources.resource import COST_MANAGER, DELETION_COST, PROTECTED, PROTECTION_MANAGER, Deployment, JobQueue, Pod
from ..settings import ALL_NAMESPACES
from .api_access import ApiAccess, tls_of
from .api_errors import error_of
from .api_paths import POD_MONITOR_GROUP, ApiPath, collection, everywhere, field_selector, item
from .events import event_of
from .list_decoder import PAGE, Decode, Known, decode_page, decoder, nothing
from .secret_content import SecretContent

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 15.0
THREADS: Final = 16
BULK: Final = 8
"""Threads that creation and repair of owned objects may use."""
STATUSES: Final = 4
"""Threads that status writes may use; the others stay free for scaling."""


class Cluster:
    """Calls to one API server, with the credentials of the pod or of the kubeconfig.

    Args:
        instance: names this process in events and to the API server's audit.
        kubeconfig: a file to use outside a pod; default as kubectl.

    `bulk_gate` limits concurrent creations and repairs, `status_gate` concurrent status writes: hundreds may be due at
    once. `may_write` is called before each write except those of the election itself, which has a thread of its own;
    `operate` sets it.
    """

    def __init__(self, *, instance: str, kubeconfig: str | None = None) -> None:
        self._config = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=self._config)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            try:
                config.load_kube_config(config_file=kubeconfig, client_configuration=self._config)  # type: ignore[no-untyped-call]
            except config.ConfigException as other:
                raise errors.SettingsError(
                    f"no access to an API server: {error} No usable kubeconfig either: {other}"
                ) from other
        self._config.connection_pool_maxsize = THREADS + 1
        self._config.retries = False
        self._http = client.rest.RESTClientObject(self._config).pool_manager
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="penstock-api")
        self._election = ThreadPoolExecutor(1, thread_name_prefix="penstock-election")
        self._instance = instance
        self.may_write: Callable[[], bool] = lambda: True
        self.bulk_gate, self.status_gate = asyncio.Semaphore(BULK), asyncio.Semaphore(STATUSES)

    @property
    def pools(self) -> Mapping[str, Executor]:
        """The threads that calls are sent from, by their names."""
        return {"API threads": self._threads, "election thread": self._election}

    def token(self) -> str:
        """The token that calls present, with its scheme; empty for other credentials. A secret."""
        settings: Mapping[str, Any] = self._config.auth_settings()
        return str((settings.get("BearerToken") or {}).get("value") or "")

    def access(self) -> ApiAccess:
        """Address and present credentials of the API server, for another client."""
        found = self._config
        tls = None
        if found.host.startswith("https:"):
            tls = tls_of(
                ca_file=found.ssl_ca_cert, certificate=found.cert_file, key=found.key_file, verify=found.verify_ssl
            )
        return ApiAccess(server=found.host, headers=self._credentials(), tls=tls)

    def _credentials(self) -> dict[str, str]:
        settings: Mapping[str, Any] = self._config.auth_settings()
        return {one["key"]: one["value"] for one in settings.values() if one["value"]}

    def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        for threads in (self._threads, self._election):
            threads.shutdown(wait=True)
        self._http.clear()

    async def request(
        self,
        method: str,
        path: ApiPath,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        electing: bool = False,
        decode: Callable[[bytes], Any] = msgspec.json.decode,
    ) -> Any:
        """One request and its decoded answer. `electing` ones wait for no other; writes of them need no leadership.

        Raises:
            ClusterError: one of its kinds, by the answer's code.
            NotLeader: a write, and this replica does not lead.
        """
        target = self._config.host + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        loop = asyncio.get_running_loop()
        fenced = method != "GET" and not electing
        threads = self._election if electing else self._threads
        send = partial(self._send, method, target, data, content_type=content_type, fenced=fenced, decode=decode)
        return await loop.run_in_executor(threads, send)

    def _send(
        self,
        method: str,
        target: str,
        data: bytes | None,
        *,
        content_type: str,
        fenced: bool,
        decode: Callable[[bytes], Any],
    ) -> Any:
        agent = f"penstock-operator/{self._instance}"
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": agent}
        headers |= self._credentials()
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        what = f"{method} {target.removeprefix(self._config.host).split('?', 1)[0]}"
        if fenced and not self.may_write():
            raise errors.NotLeader(f"{what}: not sent, because this replica does not lead")
        try:
            answer = self._http.request(
                method, target, body=data, headers=headers, timeout=timeout, retries=False, redirect=False
            )
            refused = answer.status >= 400
            found = (msgspec.json.decode if refused else decode)(answer.data or b"{}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise errors.Unreachable(f"{what}: the API server did not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise errors.Unreachable(f"{what}: the answer is not JSON") from error
        if refused:
            raise error_of(answer.status, f"{what}: {found.get('message') or answer.reason}")
        return found

    # -- reading ------------------------------------------------------------------------------------------------

    async def list_all(
        self, kind: str, namespaces: Sequence[str], *, known: Known, label: str = ""
    ) -> list[dict[str, Any]]:
        """Every object of a kind in the namespaces, page by page; of a known one uid and version alone."""
        found: list[dict[str, Any]] = []
        decode = partial(decode_page, known=known, decode=decoder(kind))
        for namespace in namespaces:
            query = {"limit": str(PAGE)} | ({"labelSelector": label} if label else {})
            while True:
                path = everywhere(kind) if namespace == ALL_NAMESPACES else collection(kind, namespace)
                page, more = await self.request("GET", path, query=query, decode=decode)
                found += page
                if not more:
                    break
                query["continue"] = more
        return found

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """One object."""
        answer: dict[str, Any] = await self.request("GET", item(kind, namespace, name))
        return answer

    async def find(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object by a list, the verb that the operator has for every kind of child; None if there is none."""
        query = {"fieldSelector": field_selector(kind, name), "limit": "1"}
        path = collection(kind, namespace)
        page, _ = await self.request("GET", path, query=query, decode=lambda data: decode_page(data, nothing))
        return page[0] if page else None

    async def serves_pod_monitors(self) -> bool:
        """Return True if the API server knows PodMonitors, by its discovery.

        Raises:
            ClusterError: it did not answer; what it knows is not known.
        """
        try:
            found = await self.request("GET", POD_MONITOR_GROUP)
        except errors.NotFound:
            return False
        return any(one.get("name") == "podmonitors" for one in found.get("resources") or ())

    async def secret(self, namespace: str, name: str) -> SecretContent:
        """One Secret.

        Raises:
            NotFound: no such Secret.
            ClusterError: as `request`.
        """
        return SecretContent.read(await self.get("Secret", namespace, name))

    # -- writing ------------------------------------------------------------------------------------------------

    async def create(self, manifest: Mapping[str, Any], *, manager: str) -> dict[str, Any]:
        """Make an object that is not there.

        Raises:
            Conflict: there is one of that name.
        """
        path = collection(manifest["kind"], manifest["metadata"]["namespace"])
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        answer: dict[str, Any] = await self.request("POST", path, manifest, query=query)
        return answer

    async def patch_metadata(self, manifest: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object's metadata; `change` holds the uid and version that are meant.

        Raises:
            Conflict: it has changed since.
        """
        metadata = manifest["metadata"]
        path = item(manifest["kind"], metadata["namespace"], metadata["name"])
        query = {"fieldManager": "penstock-adoption"}
        answer: dict[str, Any] = await self.request(
            "PATCH", path, {"metadata": change}, content_type=MERGE, query=query
        )
        return answer

    async def apply(self, manifest: Mapping[str, Any], *, manager: str) -> dict[str, Any]:
        """Server-side apply of one object as that field manager, over the heads of others."""
        metadata = manifest["metadata"]
        path = item(manifest["kind"], metadata["namespace"], metadata["name"])
        return await self._apply(path, manifest, manager)

    async def apply_status(self, queue: JobQueue, status: Mapping[str, Any]) -> dict[str, Any]:
        """The whole status of a JobQueue as it was read.

        Raises:
            Conflict: it has changed since.
        """
        metadata = {"name": queue.name, "namespace": queue.namespace, "resourceVersion": queue.resource_version}
        body = {"apiVersion": "penstock.dev/v1alpha1", "kind": "JobQueue", "metadata": metadata, "status": status}
        path = item("JobQueue", queue.namespace, queue.name, "status")
        return await self._apply(path, body, "penstock-status", decode_jobqueue)

    async def _apply(
        self, path: ApiPath, body: Mapping[str, Any], manager: str, decode: Decode = msgspec.json.decode
    ) -> dict[str, Any]:
        query = {"fieldManager": manager, "force": "true"}
        answer: dict[str, Any] = await self.request("PATCH", path, body, content_type=APPLY, query=query, decode=decode)
        return answer

    async def scale(self, deployment: Deployment, replicas: int) -> dict[str, Any]:
        """Set spec.replicas through /scale, if the Deployment is still as it was read; returns the Scale.

        Raises:
            Conflict: it has changed since.
        """
        path = item("Deployment", deployment.namespace, deployment.name, "scale")
        body = {"metadata": {"resourceVersion": deployment.resource_version}, "spec": {"replicas": replicas}}
        query = {"fieldManager": "penstock-scale"}
        answer: dict[str, Any] = await self.request("PATCH", path, body, content_type=MERGE, query=query)
        return answer

    async def set_deletion_cost(self, pod: Pod, cost: int | None) -> dict[str, Any]:
        """Set or remove the pod's deletion cost; the uid protects another pod of the same name."""
        return await self._annotate(pod, {DELETION_COST: None if cost is None else str(cost)}, COST_MANAGER)

    async def protect(self, pod: Pod, *, protect: bool) -> dict[str, Any]:
        """Set or remove the annotations that keep node autoscalers from moving the pod."""
        annotations = {name: value if protect else None for name, value in PROTECTED.items()}
        return await self._annotate(pod, annotations, PROTECTION_MANAGER)

    async def _annotate(self, pod: Pod, annotations: Mapping[str, str | None], manager: str) -> dict[str, Any]:
        path = item("Pod", pod.namespace, pod.name)
        body = {"metadata": {"uid": pod.uid, "annotations": annotations}}
        query = {"fieldManager": manager}
        answer: dict[str, Any] = await self.request("PATCH", path, body, content_type=MERGE, query=query)
        return answer

    async def post_event(self, queue: JobQueue, *, reason: str, note: str, warning: bool, action: str) -> None:
        """An events.k8s.io/v1 event about a JobQueue."""
        event = event_of(queue, reason=reason, note=note, warning=warning, action=action, instance=self._instance)
        await self.request("POST", collection("Event", queue.namespace), event)
