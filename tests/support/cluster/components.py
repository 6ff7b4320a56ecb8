"""The command lines and configuration files of a node's components.

Must not start anything: `init.py` does, inside the node's namespaces. Each component has the identity and rights that
Kubernetes gives it by default, by a token of its own; only the administrator's kubeconfig is in the group of masters.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support import certificates
from tests.support.cluster.layout import API_PORT, SERVICES, Layout
from tests.support.cluster.programs import Programs

ETCD_CLIENT, ETCD_PEER = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
CNI_PLUGINS = "/usr/lib/cni"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "penstock.dev/pause:1"
DOMAIN = "cluster.local"
CAP_SYS_RESOURCE = 24
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet wants to read; inside the node's namespaces files with these texts cover the host's settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Writes everything that the components read into the node's folder.

    Args:
        layout: of the node.
        programs: the built programs.
        snapshotter: containerd's; `overlayfs`, or `native` where the folder is on an overlay itself.
    """

    layout: Layout
    programs: Programs
    snapshotter: str = "overlayfs"
    tokens: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Certificates, tokens, kubeconfigs, configuration files, and the command lines as `commands.json`."""
        folder = self.layout.folder
        for name in ("logs", "cni", "sysctl", "kubelet", "containerd", "pod-logs"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        for name, text in SYSCTLS.items():
            (folder / "sysctl" / name.replace("/", ".")).write_text(text + "\n")
        self._certificates()
        self._kubeconfigs()
        (folder / "resolv.conf").write_text(f"nameserver {self.layout.bridge_address}\n")
        self._containerd()
        self._kubelet()
        (folder / "commands.json").write_text(json.dumps(self.commands()))

    def commands(self) -> dict[str, list[str]]:
        """The command line of each component, in the order of their start."""
        component, folder = self.programs.component, self.layout.folder
        kubeconfig = {name: f"--kubeconfig={folder / f'{name}.kubeconfig'}" for name in self.tokens}
        return {
            "etcd": [*component("etcd"), *self._etcd_flags()],
            "kube-apiserver": [*component("kube-apiserver"), *self._api_server_flags()],
            "kube-controller-manager": [
                *component("kube-controller-manager"),
                kubeconfig["kube-controller-manager"],
                f"--service-account-private-key-file={folder / 'accounts.key'}",
                f"--root-ca-file={folder / 'ca.crt'}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--allocate-node-cidrs=false",
            ],
            "kube-scheduler": [*component("kube-scheduler"), kubeconfig["kube-scheduler"], "--leader-elect=false"],
            "containerd": [self.programs.path("containerd"), "--config", str(folder / "containerd.toml")],
            "dns": [sys.executable, "-m", "tests.support.cluster.dns", self.layout.name],
            "kube-proxy": [*component("kube-proxy"), f"--config={folder / 'kube-proxy.yaml'}"],
            "kubelet": [
                *component("kubelet"),
                f"--config={folder / 'kubelet.yaml'}",
                kubeconfig["kubelet"],
                f"--root-dir={folder / 'kubelet'}",
                f"--cert-dir={folder / 'kubelet' / 'pki'}",
                f"--hostname-override={self.layout.name}",
                f"--node-ip={self.layout.node_address}",
            ],
        }

    def _certificates(self) -> None:
        folder = self.layout.folder
        certificates.authority(folder, "ca")
        certificates.authority(folder, "front-proxy-ca")
        certificates.authority(folder, "accounts")  # signs the tokens of service accounts
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        addresses = ["127.0.0.1", self.layout.node_address, f"{SERVICES.rpartition('.')[0]}.1"]
        alternative = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{one}" for one in addresses)])
        certificates.signed(folder, "apiserver", subject="kube-apiserver", alternative=alternative)
        certificates.signed(folder, "front-proxy", subject="front-proxy", by="front-proxy-ca")

    def _kubeconfigs(self) -> None:
        users = {
            "admin": ("admin", "system:masters"),
            "kube-controller-manager": ("system:kube-controller-manager", ""),
            "kube-scheduler": ("system:kube-scheduler", ""),
            "kube-proxy": ("system:kube-proxy", ""),
            "kubelet": (f"system:node:{self.layout.name}", "system:nodes"),
            "dns": ("dns", "penstock:dns"),
        }
        self.tokens.update({name: secrets.token_urlsafe(24) for name in users})
        lines = [f'{self.tokens[name]},{user},{name},"{group}"' for name, (user, group) in users.items()]
        _private(self.layout.folder / "tokens.csv", "\n".join(lines) + "\n")
        for name, token in self.tokens.items():
            path = self.layout.kubeconfig if name == "admin" else self.layout.folder / f"{name}.kubeconfig"
            _private(path, _kubeconfig(self.layout, token))

    def _etcd_flags(self) -> list[str]:
        return [
            "--unsafe-no-fsync",
            f"--data-dir={self.layout.folder / 'etcd'}",
            f"--listen-client-urls={ETCD_CLIENT}",
            f"--advertise-client-urls={ETCD_CLIENT}",
            f"--listen-peer-urls={ETCD_PEER}",
            f"--initial-advertise-peer-urls={ETCD_PEER}",
            f"--initial-cluster=default={ETCD_PEER}",
            "--log-level=warn",
        ]

    def _api_server_flags(self) -> list[str]:
        folder = self.layout.folder
        server = [f"--{name}={folder / file}" for name, file in _API_SERVER_FILES.items()]
        return [
            *server,
            f"--etcd-servers={ETCD_CLIENT}",
            f"--secure-port={API_PORT}",
            "--bind-address=0.0.0.0",
            f"--advertise-address={self.layout.node_address}",
            f"--service-cluster-ip-range={SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-aggregator-routing=true",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--profiling=false",
        ]

    def _containerd(self) -> None:
        folder = self.layout.folder
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(folder / "ipam"),
                "ranges": [[{"subnet": str(self.layout.pod_network)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
        network = {"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(network))
        text = _CONTAINERD.format(
            folder=folder,
            socket=CONTAINERD_SOCKET,
            snapshotter=self.snapshotter,
            pause=PAUSE_IMAGE,
            plugins=CNI_PLUGINS,
            # Without the capability nobody may lower a score, and every sandbox would fail to start.
            restrict=str(not _has_capability(CAP_SYS_RESOURCE)).lower(),
        )
        (folder / "containerd.toml").write_text(text)

    def _kubelet(self) -> None:
        folder = self.layout.folder
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "0.0.0.0",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(folder / "ca.crt")},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.layout.cgroup}",
            "clusterDNS": [self.layout.bridge_address],
            "clusterDomain": DOMAIN,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "enforceNodeAllocatable": ["none"],
            "evictionHard": {},  # a full disk of the machine must not evict the tests' pods: the preflight checks it
            "failCgroupV1": False,
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "podLogsDir": str(folder / "pod-logs"),
            "readOnlyPort": 0,
            "resolvConf": str(folder / "resolv.conf"),
            "volumePluginDir": str(folder / "kubelet" / "volume-plugins"),
        }
        proxy = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": str(folder / "kube-proxy.kubeconfig")},
            "clusterCIDR": str(self.layout.pod_network),
            "conntrack": {"maxPerCore": 0},  # the limit is the host's
            "hostnameOverride": self.layout.name,
        }
        (folder / "kubelet.yaml").write_text(yaml.safe_dump(kubelet))
        (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(proxy))


_API_SERVER_FILES = {
    "tls-cert-file": "apiserver.crt",
    "tls-private-key-file": "apiserver.key",
    "client-ca-file": "ca.crt",
    "kubelet-client-certificate": "apiserver.crt",
    "kubelet-client-key": "apiserver.key",
    "proxy-client-cert-file": "front-proxy.crt",
    "proxy-client-key-file": "front-proxy.key",
    "requestheader-client-ca-file": "front-proxy-ca.crt",
    "service-account-key-file": "accounts.crt",
    "service-account-signing-key-file": "accounts.key",
    "token-auth-file": "tokens.csv",
}
_CONTAINERD = """\
version = 3
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "{snapshotter}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{folder}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def _kubeconfig(layout: Layout, token: str) -> str:
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": layout.name,
                "cluster": {"server": layout.url, "certificate-authority": str(layout.folder / "ca.crt")},
            }
        ],
        "users": [{"name": layout.name, "user": {"token": token}}],
        "contexts": [{"name": layout.name, "context": {"cluster": layout.name, "user": layout.name}}],
        "current-context": layout.name,
    }
    return yaml.safe_dump(config)


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _has_capability(number: int) -> bool:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> number & 1) and os.geteuid() == 0
