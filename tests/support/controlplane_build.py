"""Where the control plane's binaries come from: `KUBEBUILDER_ASSETS`, or one build of `tests/controlplane`.

Must not start a server; `controlplane.py` does. Run as `python -m tests.support.controlplane_build` to build ahead. The
build has a node's components too, which only `tests/cluster` starts.

The first build takes minutes and must not happen inside a test, whose timeout would end it, so the pytest
plugin calls `commands()` before the first test.
"""

import os
from pathlib import Path

from tests.support.go_build import ROOT, BuildError, Echo, GoBuild

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
KUBERNETES = "v1.37.2"  # as in tests/controlplane/go.mod; stamped into the binary, where a module build leaves v0.0.0
PROGRAM = "controlplane"
ControlPlaneUnavailableError = BuildError


def commands(echo: Echo = print) -> dict[str, tuple[str, ...]]:
    """How to start each component: its name -> the head of its command line; builds once if need be.

    Raises:
        ControlPlaneUnavailableError: no assets, no cached build, and no Go to make one with, or the build failed.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        missing = [name for name in COMPONENTS if not os.access(Path(assets) / name, os.X_OK)]
        if missing:
            raise ControlPlaneUnavailableError(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}")
        return {name: (str(Path(assets) / name),) for name in COMPONENTS}
    binary = str(built(echo))
    return {name: (binary, name) for name in COMPONENTS}


def built(echo: Echo = print) -> Path:
    """The one binary; its first argument names the component: those of COMPONENTS and, on Linux, a node's and kubectl.

    Raises:
        ControlPlaneUnavailableError: as `commands`.
    """
    return _build().programs_folder(echo) / PROGRAM


def _build() -> GoBuild:
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return GoBuild(
        title="control plane",
        module=ROOT / "tests" / "controlplane",
        packages=(".",),
        programs=(PROGRAM,),
        cache="controlplane",
        ldflags=" ".join(f"-X {package}.{name}={value}" for package in packages for name, value in stamps.items()),
        cost=f"Kubernetes {KUBERNETES}, some 7 minutes on two cores",
        instead=", or KUBEBUILDER_ASSETS",
    )


if __name__ == "__main__":
    try:
        print(" ".join(commands(lambda line: print(line, flush=True))["etcd"][:1]))
    except ControlPlaneUnavailableError as error:
        raise SystemExit(f"control plane: {error}") from None
