"""KEDA's programs and manifests from its published Go module, at the version in `peers/keda/go.mod`.

Owns what is built, and where the module's manifests are. The module's `replace` and `exclude` are copies of KEDA's own,
which Go applies only in the main module. The first build needs the network and some twenty minutes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.go_build import GoBuild

MODULE = Path(__file__).parent / "peers" / "keda"
NAME = "github.com/kedacore/keda/v2"


@dataclass(frozen=True, slots=True)
class Programs:
    """What is built.

    Args:
        operator: path of KEDA's operator.
        adapter: path of its metrics adapter.
        config: the module's folder of manifests.
    """

    operator: Path
    adapter: Path
    config: Path


def version() -> str:
    """KEDA's, as 2.21.0."""
    found = re.search(rf"{re.escape(NAME)} v(\S+)", (MODULE / "go.mod").read_text())
    assert found is not None
    return found[1]


def programs() -> Programs:
    """Both programs, built once into the user cache.

    Raises:
        BuildError: KEDA is not cached and cannot be built here.
    """
    build = GoBuild(
        title="KEDA",
        module=MODULE,
        packages=(f"{NAME}/cmd/operator", f"{NAME}/cmd/adapter"),
        programs=("operator", "adapter"),
        cache="keda",
        ldflags=f"-X {NAME}/version.Version={version()}",
        cost="some 20 minutes on two cores",
    )
    folder = build.programs_folder(lambda line: print(line, flush=True))
    return Programs(folder / "operator", folder / "adapter", _sources() / "config")


def _sources() -> Path:
    """The module's folder in Go's cache."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(f"the manifests of {NAME} are found by Go, which is not on PATH")
    asked = [go, "list", "-m", "-f", "{{.Dir}}", NAME]
    return Path(subprocess.run(asked, cwd=MODULE, check=True, capture_output=True, text=True).stdout.strip())
