"""The programs of a node: built from Go modules of the tests, or installed on this machine.

Must not start any. containerd, its shim, ctr, Helm and pause come from `tests/cluster/programs`; Kubernetes' own, with
kubectl, from `tests/controlplane`; runc, the CNI plugins and the tools of the network from the system.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import controlplane_build
from tests.support.go_build import ROOT, Echo, GoBuild

_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_BUILD = GoBuild(
    title="node programs",
    module=ROOT / "tests" / "cluster" / "programs",
    packages=(
        f"{_CONTAINERD}/containerd",
        f"{_CONTAINERD}/containerd-shim-runc-v2",
        f"{_CONTAINERD}/ctr",
        "helm.sh/helm/v4/cmd/helm",
        "./pause",
    ),
    programs=("containerd", "containerd-shim-runc-v2", "ctr", "helm", "pause"),
    cache="cluster/programs",
    tags="no_btrfs no_devmapper no_zfs",
    cost="containerd and Helm, some 4 minutes on two cores",
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the built programs are."""

    kubernetes: Path
    folder: Path

    def component(self, name: str) -> list[str]:
        """The head of the command line of a component of Kubernetes, or of kubectl."""
        return [str(self.kubernetes), name]

    def path(self, name: str) -> str:
        """A program of the other module."""
        return str(self.folder / name)


def programs(echo: Echo) -> Programs:
    """Build what is not cached.

    Raises:
        BuildError: see `go_build`.
    """
    return Programs(kubernetes=controlplane_build.built(echo), folder=_BUILD.programs_folder(echo))
