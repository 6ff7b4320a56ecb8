"""A cluster to test on, whatever carries it: requests, manifests, waiting, logs, exec, Helm.

Must not know of the product. Every wait checks the node, if it is ours: a node that has died fails a test at once
with the end of the log of the component that died.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.support.api_client import ApiClient, ApiError
from tests.support.cluster.node import Node
from tests.support.cluster.programs import Programs
from tests.support.go_build import ROOT

Found = TypeVar("Found")
SECONDS = 180.0
TURN_SECONDS = 0.05
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster with an administrator's rights.

    Args:
        client: to the API server.
        kubeconfig: of kubectl and Helm.
        programs: which have both.
        node: the node, if it is ours: its components can be stopped, and images loaded.
    """

    client: ApiClient
    kubeconfig: Path
    programs: Programs
    node: Node | None

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One request; see `ApiClient.request`."""
        return self.client.request(method, path, body, **options)

    def get(self, path: str) -> Any:
        """The object at that path, or None if there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """What kubectl prints; an AssertionError with what it said if it fails."""
        return self._run([*self.programs.component("kubectl"), *arguments], text=text, check=check)

    def helm(self, *arguments: str, check: bool = True) -> str:
        """What Helm prints; as `kubectl`."""
        return self._run([self.programs.path("helm"), *arguments], check=check)

    def apply(self, *manifests: str | Mapping[str, Any], namespace: str = "default") -> None:
        """`kubectl apply --server-side` of texts or objects; `namespace` is of those that name none."""
        texts = [one if isinstance(one, str) else yaml.safe_dump(dict(one)) for one in manifests]
        options = ["--namespace", namespace, "--server-side", "--force-conflicts", "--filename=-"]
        self.kubectl("apply", *options, text="\n---\n".join(texts))

    def pods(self, namespace: str, selector: str = "") -> list[Any]:
        """The pods of a namespace, those that are being deleted too."""
        query = f"?labelSelector={selector}" if selector else ""
        return list(self.request("GET", f"/api/v1/namespaces/{namespace}/pods{query}")["items"])

    def logs(self, namespace: str, pod: str, *, previous: bool = False, container: str = "") -> str:
        """The log of a pod's container; empty if it has none (yet)."""
        options = [*(["--previous"] if previous else []), *(["--container", container] if container else [])]
        return self.kubectl("--namespace", namespace, "logs", pod, *options, check=False)

    def exec(self, namespace: str, pod: str, *command: str, check: bool = True) -> str:
        """What a command prints inside a pod's container."""
        return self.kubectl("--namespace", namespace, "exec", pod, "--", *command, check=check)

    def events(self, namespace: str) -> str:
        """The events of a namespace, oldest first."""
        return self.kubectl("--namespace", namespace, "get", "events", "--sort-by=.lastTimestamp", check=False)

    def wait_for(
        self, condition: Callable[[], Found], what: str, *, namespace: str = "", seconds: float = SECONDS
    ) -> Found:
        """The condition's first truthy answer; an AssertionError, 404 or lost connection in it counts as "not yet".

        Args:
            condition: asked every 50 ms.
            what: it stands for, in the failure's text.
            namespace: whose pods and events the failure's text shows.
            seconds: until it fails.

        Raises:
            NodeFailedError: the node has ended.
            AssertionError: not in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            last: object = None
            try:
                if last := condition():
                    return last
            except (AssertionError, ApiError, OSError) as error:
                if isinstance(error, ApiError) and error.status not in {404, 409, 429, 500, 503, 504}:
                    raise
                last = error
            if self.node is not None:
                self.node.check()
            if time.monotonic() > deadline:
                shown = self.describe(namespace) if namespace else ""
                raise AssertionError(f"not within {seconds:g} s: {what}; last answer: {last}\n{shown}")
            time.sleep(TURN_SECONDS)

    def describe(self, namespace: str) -> str:
        """What a failure in that namespace needs: pods with their states, events, the ends of their logs."""
        parts = [self.kubectl("--namespace", namespace, "get", "pods,jobqueues", "--output=wide", check=False)]
        parts.append(self.events(namespace))
        for pod in self.pods(namespace):
            name = pod["metadata"]["name"]
            parts += [f"--- {name}: {json.dumps(pod['status'].get('containerStatuses'))}"]
            parts.append("\n".join(self.logs(namespace, name).splitlines()[-30:]))
        return "\n".join(parts)

    @contextmanager
    def namespace(self, prefix: str, *, restricted: bool = True) -> Iterator[str]:
        """A namespace for the length of a `with`, by default under Pod Security `restricted`; deleted, not awaited."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        labels = RESTRICTED if restricted else {}
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        try:
            self.wait_for(lambda: self.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"), f"{name} is usable")
            yield name
        finally:
            self.request("DELETE", f"/api/v1/namespaces/{name}")

    def _run(self, command: Sequence[str], *, text: str | None = None, check: bool = True) -> str:
        environ = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, cwd=ROOT, env=environ, input=text, capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise AssertionError(f"{' '.join(command[1:])}: {done.stderr.strip()}\n{done.stdout.strip()}")
        return done.stdout


def of_node(node: Node) -> Cluster:
    """The cluster that a node of this machine is."""
    return Cluster(client=node.client, kubeconfig=node.layout.kubeconfig, programs=node.programs, node=node)


@contextmanager
def of_kubeconfig(path: Path, built: Programs) -> Iterator[Cluster]:
    """A cluster that exists already, by whatever way of authentication its kubeconfig names."""
    command = [*built.component("kubectl"), f"--kubeconfig={path}", "proxy", "--port=0"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout is not None
        line = proxy.stdout.readline()  # Starting to serve on 127.0.0.1:NNNNN
        assert "127.0.0.1:" in line, f"kubectl proxy does not serve with {path}"
        url = f"http://{line.split()[-1]}"
        yield Cluster(client=ApiClient(url=url, ca_file=None, token=""), kubeconfig=path, programs=built, node=None)
    finally:
        proxy.terminate()
        proxy.wait()
        if proxy.stdout is not None:
            proxy.stdout.close()
