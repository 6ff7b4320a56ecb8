"""A real Kubernetes control plane on loopback: etcd, the API server with RBAC, and the controllers of Deployments.

Owns: its processes from first to last, its temporary folder (data, certificates, logs) and the ways to speak to it: an
administrator's kubeconfig and, by TokenRequest, any service account's. Must not know of JobQueues or pods' processes.

The API server is stopped before etcd, because an API server without its etcd ignores SIGTERM. It signs its own
certificate on start, and the key of that certificate signs the service accounts' tokens too.
"""

import base64
import contextlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.api_client import ApiClient, ApiError

START_SECONDS = 150.0  # 3.1 s on an idle machine; a loaded one may need many times that
STOP_SECONDS = 30.0
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
)

# Service accounts only: what the operator asks for is compared with what the chart grants.
_AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
"""


class ControlPlaneFailedError(Exception):
    """A component ended or did not become ready; the text carries the end of its log."""


class ControlPlane:
    """Start with `start()`, end with `stop()`; both once. Paths and tokens are valid in between.

    Args:
        commands: component -> head of its command line, as `controlplane_build.commands()` gives it.
        api_server_flags: further flags of the API server, such as those of the aggregation layer.
    """

    def __init__(self, *, commands: Mapping[str, Sequence[str]], api_server_flags: Sequence[str] = ()) -> None:
        self._commands = commands
        self._api_server_flags = tuple(api_server_flags)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-control-plane-"))
        self.admin_token = secrets.token_urlsafe(24)
        self.url = ""

    @property
    def ca_file(self) -> Path:
        """The certificate that a client has to trust."""
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def admin_kubeconfig(self) -> Path:
        """A kubeconfig file of an administrator (group system:masters)."""
        return self.folder / "admin.kubeconfig"

    @property
    def pids(self) -> list[int]:
        """Process ids of the running components."""
        return [process.pid for process in self._processes.values()]

    def start(self) -> None:
        """Return when the API server is ready and the controllers have started their work.

        Raises:
            ControlPlaneFailedError: not ready within 150 s, or a component ended; everything is stopped by then.
        """
        try:
            etcd = self._start_etcd()
            port = self._start_api_server(etcd)
            self.url = f"https://127.0.0.1:{port}"
            self._wait("/readyz", lambda answer: answer == b"ok")
            self.admin_kubeconfig.write_text(self.kubeconfig(self.admin_token))
            self.admin_kubeconfig.chmod(0o600)
            self._start_controllers()
            # The service account controller's first act shows that the controllers have synced and work.
            self._wait("/api/v1/namespaces/default/serviceaccounts/default", lambda answer: b'"uid"' in answer)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes, in the order that lets each end by itself, and remove the folder; harmless twice."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self, component: str) -> None:
        """SIGSTOP: the component hangs as on a frozen machine."""
        self._processes[component].send_signal(signal.SIGSTOP)

    def resume(self, component: str) -> None:
        """SIGCONT: undo `pause`."""
        self._processes[component].send_signal(signal.SIGCONT)

    def logs(self, last: int = 40) -> dict[str, str]:
        """The last lines of each component's log, for a failed test's report."""
        found = sorted(self.folder.glob("*.log"))
        return {path.stem: "\n".join(path.read_text(errors="replace").splitlines()[-last:]) for path in found}

    def used_by(self, user: str) -> set[tuple[str, str, str]]:
        """What a service account has done so far, as (verb, group, resource or resource/part).

        A patch that created its object counts as create too, for that is the right it needed. The log is written in the
        background, so wait for what you expect.

        Args:
            user: `system:serviceaccount:NAMESPACE:NAME`.
        """
        used = set()
        for verb, code, group, resource in self._audited(user):
            if code != 403:
                used |= {(verb, group, resource)} | ({("create", group, resource)} if code == 201 else set())
        return used

    def refused_to(self, user: str) -> set[tuple[str, str, str]]:
        """What a service account has asked for without the right to it; as `used_by`."""
        return {(verb, group, resource) for verb, code, group, resource in self._audited(user) if code == 403}

    def audit(self) -> Iterator[Any]:
        """Every recorded event so far; a line that is just being written is left out."""
        whole, _, _ = (self.folder / "audit.jsonl").read_text().rpartition("\n")
        yield from (json.loads(line) for line in whole.splitlines())

    def _audited(self, user: str) -> Iterator[tuple[str, int, str, str]]:
        for event in self.audit():
            asked = event.get("objectRef")
            if event["user"]["username"] == user and asked:
                resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
                yield event["verb"], event.get("responseStatus", {}).get("code", 0), asked.get("apiGroup", ""), resource

    def kubeconfig(self, token: str, *, namespace: str = "default") -> str:
        """The text of a kubeconfig that presents `token` (admin_token, or one of `service_account_token`)."""
        authority = base64.b64encode(self.ca_file.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        }
        return yaml.safe_dump(config)

    def service_account_token(self, namespace: str, name: str, *, seconds: int = 3600) -> str:
        """A token of that service account by TokenRequest; a client that presents it has exactly its rights."""
        spec = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", spec)
        return str(answer["status"]["token"])

    def client(self, token: str | None = None) -> ApiClient:
        """A client with the rights of `token`; by default the administrator's."""
        return ApiClient(url=self.url, ca_file=self.ca_file, token=self.admin_token if token is None else token)

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """One request as administrator; see `ApiClient.request`."""
        return self.client().request(method, path, body, content_type=content_type)

    def _start_etcd(self) -> str:
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self._spawn(
            "etcd",
            "--unsafe-no-fsync",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        return client

    def _start_api_server(self, etcd: str) -> int:
        (port,) = free_ports(1)
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        certificates = self.ca_file.parent
        policy = self.folder / "audit.yaml"
        policy.write_text(_AUDIT_POLICY)
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={certificates}",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.folder / 'audit.jsonl'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={certificates / 'apiserver.key'}",
            f"--service-account-key-file={certificates / 'apiserver.key'}",
            "--profiling=false",
            *self._api_server_flags,
        )
        return port

    def _start_controllers(self) -> None:
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--profiling=false",
        )

    def _spawn(self, component: str, *flags: str) -> None:
        # Where setpriv exists the kernel ends the child with the test run, even if that is killed with SIGKILL.
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with (self.folder / f"{component}.log").open("wb") as log:
            self._processes[component] = subprocess.Popen(
                [*guard, *self._commands[component], *flags],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops them in order
            )

    def _wait(self, path: str, ready: Callable[[bytes], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise ControlPlaneFailedError(f"{name} ended with {process.returncode}:\n{self.logs()[name]}")
            with contextlib.suppress(OSError, ApiError):
                if self.ca_file.exists() and ready(self.client().read("GET", path)):
                    return
            if time.monotonic() > deadline:
                ends = "\n".join(f"--- {name}\n{text}" for name, text in self.logs().items())
                raise ControlPlaneFailedError(f"not ready after {START_SECONDS:.0f} s ({path}):\n{ends}")
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports that were free on loopback a moment ago.

    They are below the ephemeral ports of the kernel, which gives those to any process that connects or asks for any
    port: one of them could be taken before the process that is to listen here has started.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # taken: another one
                one.bind(("127.0.0.1", 10_000 + secrets.randbelow(lowest - 10_000) if lowest > 12_000 else 0))
                found.append(int(one.getsockname()[1]))
        return found
