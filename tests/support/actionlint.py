"""actionlint, the checker of GitHub's workflow files, built once from its Go module into the user's cache.

Must not be needed where there is no Go: `actionlint()` skips with the reason. The build takes some ten seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .go_build import user_cache

VERSION = "v1.7.12"
MODULE = "github.com/rhysd/actionlint/cmd/actionlint"


def actionlint() -> Path:
    """The program; the cached build of this version, if there is one."""
    folder = user_cache() / f"actionlint-{VERSION}"
    program = folder / "actionlint"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on PATH to build actionlint with")
    environ = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
    command = ["nice", "-n", "10", go, "install", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"actionlint {VERSION} cannot be built here: {done.stderr.strip()[-300:]}")
    return program
