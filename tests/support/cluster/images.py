"""The images of a clone, built from its Dockerfiles by buildah, podman or docker, and cached as archives.

Owns the choice of the builder and of the base, and the cache: an archive is named by what it was built from, so only a
change of that builds again. Run as `python -m tests.support.cluster.images [FOLDER]` (`make images`).

The base is `PENSTOCK_TEST_BASE_IMAGE`; without it one made by debootstrap, which needs no registry; without debootstrap
the Dockerfile's own. buildah and podman keep their images in the cache too, apart from the user's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.go_build import ROOT, Echo, build_lock, user_cache

OPERATOR, WORKER = "docker.io/library/penstock-operator:0.1.0", "docker.io/library/penstock-worker:0.1.0"
LEDGER = "docker.io/library/penstock-ledger:1.0.0"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
DEBOOTSTRAP_BASE = f"localhost/penstock-python-base:{SUITE}"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
MAX_KEPT = 2
MAX_LAYERS = 200
_SOURCES = (
    "Dockerfile",
    "uv.lock",
    "pyproject.toml",
    "LICENSE",
    "worker",
    "operator",
    "tools/image",
    "tests/cluster/tasks",
)
_IGNORED = {"__pycache__", ".venv", ".mypy_cache", ".ruff_cache"}


class ImagesUnavailableError(Exception):
    """No builder, no base, or the build failed; the text says which."""


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah, podman or docker."""

    name: str

    @property
    def head(self) -> list[str]:
        """The command with its own storage, where it can have one."""
        if self.name == "docker":
            return [self.name]
        storage = user_cache() / "cluster" / "storage"
        return [self.name, "--root", str(storage / "root"), "--runroot", str(storage / "run")]

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it in the clone.

        Raises:
            ImagesUnavailableError: it failed, with the end of what it said.
        """
        done = subprocess.run([*self.head, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        if check and done.returncode:
            said = (done.stdout + done.stderr).strip()[-3000:]
            raise ImagesUnavailableError(f"{self.name} {' '.join(arguments)} failed: {said}")
        return done

    def has(self, image: str) -> bool:
        """Whether its storage has the image."""
        if self.name == "docker":
            return self.call("image", "inspect", image, check=False).returncode == 0
        return bool(self.call("images", "--quiet", image, check=False).stdout.strip())

    def build(self, image: str, context: str, *options: str, base: str) -> None:
        """Build an image; layers of earlier builds are used again."""
        own = {"buildah": ["--isolation=chroot", "--layers"], "podman": ["--layers"], "docker": []}[self.name]
        self.call("build", *own, "--build-arg", f"BASE_IMAGE={base}", "--tag", image, *options, context)

    def save(self, image: str, archive: Path) -> None:
        """Write the image as `docker save` does, under its whole name."""
        partial = archive.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        if self.name == "buildah":
            self.call("push", "--quiet", image, f"docker-archive:{partial}:{image}")
        else:
            self.call("save", "--output", str(partial), image)
        partial.rename(archive)


def builder() -> Builder:
    """The first that works here.

    Raises:
        ImagesUnavailableError: none does.
    """
    for name in ("buildah", "podman", "docker"):
        if shutil.which(name) and Builder(name).call("info", check=False).returncode == 0:
            return Builder(name)
    raise ImagesUnavailableError("no image builder: neither buildah nor podman nor docker with a running daemon")


def base_image(by: Builder, echo: Echo) -> str:
    """The name of the base in the builder's storage; makes or pulls it if need be."""
    if named := os.environ.get("PENSTOCK_TEST_BASE_IMAGE"):
        if not by.has(named):
            by.call("pull", named)
        return named
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        return _dockerfile_base()
    if not by.has(DEBOOTSTRAP_BASE):
        _make_base(by, echo)
    return DEBOOTSTRAP_BASE


def archives(echo: Echo) -> dict[str, Path]:
    """Image -> archive, of operator, worker and the tests' tasks; builds what is not cached.

    Raises:
        ImagesUnavailableError: they cannot be built here.
    """
    root = user_cache() / "cluster" / "images"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / _digest()
    found = {
        image: folder / f"{image.rpartition('/')[2].replace(':', '_')}.tar" for image in (OPERATOR, WORKER, LEDGER)
    }
    if all(path.exists() for path in found.values()):
        os.utime(folder)
        return found
    with build_lock(root / "lock", "images", echo):
        if not all(path.exists() for path in found.values()):
            _build(found, echo)
        _trim(root)
    return found


def _build(found: dict[str, Path], echo: Echo) -> None:
    by = builder()
    base = base_image(by, echo)
    echo(f"images: building with {by.name} on {base} (a minute or two; seconds if only our code changed)")
    secret = ca_secret()
    by.build(OPERATOR, ".", "--target", "operator", *secret, base=base)
    by.build(WORKER, ".", "--target", "worker", *secret, base=base)
    tasks = "tests/cluster/tasks"
    by.build(LEDGER, tasks, "--file", f"{tasks}/Dockerfile", "--build-arg", f"WORKER_IMAGE={WORKER}", base=base)
    for image, archive in found.items():
        archive.parent.mkdir(exist_ok=True)
        by.save(image, archive)
    if by.name != "docker" and len(by.call("images", "--all", "--quiet").stdout.split()) > MAX_LAYERS:
        by.call("rmi", "--prune", check=False) if by.name == "buildah" else by.call("image", "prune", "--force")


def ca_secret() -> list[str]:
    """The option that lets a build trust what this machine trusts."""
    return ["--secret", f"id=ca,src=/{CERTIFICATES}"] if Path("/", CERTIFICATES).exists() else []


def _make_base(by: Builder, echo: Echo) -> None:
    echo(f"images: making a base of Debian {SUITE} by debootstrap (once, a minute)")
    folder = user_cache() / "cluster" / "base"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(folder)]
        command = ["unshare", "--mount", *command]  # its mount of /proc ends with it, even if it is killed
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImagesUnavailableError(f"debootstrap failed: {(done.stdout + done.stderr).strip()[-1000:]}")
        # What this machine trusts, the build trusts: a proxy that inspects TLS may stand before the package index.
        if Path("/", CERTIFICATES).exists():
            shutil.copyfile(Path("/", CERTIFICATES), folder / CERTIFICATES)
        _import_base(by, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_base(by: Builder, folder: Path) -> None:
    environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PIP_CERT": f"/{CERTIFICATES}"}
    if by.name == "buildah":
        container = by.call("from", "scratch").stdout.strip()
        by.call("add", "--quiet", container, str(folder), "/")
        by.call("config", *(f"--env={name}={value}" for name, value in environ.items()), "--cmd", "python3", container)
        by.call("commit", "--quiet", "--rm", container, DEBOOTSTRAP_BASE)
        return
    packed = folder.with_suffix(".tar")
    try:
        subprocess.run(["tar", "-C", str(folder), "-cf", str(packed), "."], check=True)
        changes = [f"--change=ENV {name}={value}" for name, value in environ.items()]
        by.call("import", *changes, str(packed), DEBOOTSTRAP_BASE)
    finally:
        packed.unlink(missing_ok=True)


def _dockerfile_base() -> str:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ARG BASE_IMAGE="))


def _digest() -> str:
    digest = hashlib.sha256((os.environ.get("PENSTOCK_TEST_BASE_IMAGE") or SUITE + PACKAGES).encode())
    for path in sorted(_source_files()):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _source_files() -> Iterator[Path]:
    for name in _SOURCES:
        root = ROOT / name
        for path in root.rglob("*") if root.is_dir() else [root]:
            if (
                path.is_file()
                and not _IGNORED.intersection(path.parts)
                and not any(".egg-info" in one for one in path.parts)
            ):
                yield path


def _trim(root: Path) -> None:
    """Keep the newest builds only, a gigabyte each."""
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for folder in folders[:-MAX_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        for image, archive in archives(lambda line: print(line, file=sys.stderr, flush=True)).items():
            print(f"{image} {archive}")
    except ImagesUnavailableError as error:
        raise SystemExit(f"images: {error}") from None
