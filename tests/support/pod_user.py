"""As whom a pod's processes run, and how they come to read what they need although folders above it are closed.

A pod's user has no entry in the user database, no home and no folder that it could write but /tmp. Only root can start
a process as another user; run by anybody else, pods are processes of that user, and `describe()` says so.

Needed are the interpreter, the repository, and the test's own folder. Where a folder above them is closed to the pod's
user (a clone under root's home or in a private temporary folder), `pod_jail` mounts what is needed back in its place.
Files that are themselves closed to others are an error, with the command that opens them; so is a closed folder where
root may not mount (a container without CAP_SYS_ADMIN).
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.pod_env import ContainerConfigError

IMAGE_USER = 65532
"""The user of both images; the Dockerfile names it by number."""
REPOSITORY = Path(__file__).resolve().parent.parent.parent
_JAIL = Path(__file__).with_name("pod_jail.py")
_TEMPORARY = ("/tmp", "/var/tmp")


@dataclass(frozen=True, slots=True)
class User:
    """The user, group and further groups of a container."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


IMAGE = User(IMAGE_USER, IMAGE_USER)


def user_of(pod: Mapping[str, Any], container: Mapping[str, Any]) -> User:
    """By the security contexts, else the image's user.

    Raises:
        ContainerConfigError: root, where the pod must not run as root.
    """
    of_pod = pod["spec"].get("securityContext") or {}
    context = {**of_pod, **(container.get("securityContext") or {})}
    uid = context.get("runAsUser", IMAGE_USER)
    if uid == 0 and context.get("runAsNonRoot"):
        raise ContainerConfigError("container's runAsUser breaks non-root policy")
    own = [of_pod["fsGroup"]] if "fsGroup" in of_pod else []
    return User(uid, context.get("runAsGroup", IMAGE_USER), (*own, *of_pod.get("supplementalGroups", ())))


def read_only_root(container: Mapping[str, Any]) -> bool:
    """Whether not even /tmp can be written: the root is read-only, and no volume is mounted there."""
    mounts = {one["mountPath"] for one in container.get("volumeMounts", ())}
    return bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem")) and "/tmp" not in mounts


def is_root() -> bool:
    """Whether this process can start others as another user."""
    return os.geteuid() == 0


def describe() -> str:
    """One line for the report: as whom pods run here."""
    if is_root():
        return f"process-backed pods: uid {IMAGE_USER}, without a passwd entry, a home or a writable working folder"
    return f"process-backed pods: uid {os.geteuid()}, the user of this run, for only root can start others"


def as_user(
    command: Sequence[str], *, user: User = IMAGE, folder: Path, needs: Iterable[Path], tmp_read_only: bool = False
) -> list[str]:
    """The command line that runs `command` as that user in that folder.

    Args:
        command: program and arguments.
        user: whom to become.
        folder: to work in; the user must not be able to write it.
        needs: files and folders that the command reads, or writes where their mode lets it.
        tmp_read_only: give it no /tmp that it can write.

    Raises:
        PermissionError: something that is needed is itself closed to the user.
    """
    if not is_root():
        return list(command)
    wanted = [*(path for path in needs if path.exists()), *interpreter(), REPOSITORY, folder]
    mounts = replaced(wanted, user, tmp_mode="0755" if tmp_read_only else "1777") if may_mount() else []
    plan = {
        "uid": user.uid,
        "gid": user.gid,
        "groups": list(user.groups),
        "folder": str(folder),
        "replaced": mounts,
    }
    return [sys.executable, "-I", "-S", str(_JAIL), json.dumps(plan), "--", *command]


@cache
def may_mount() -> bool:
    """Whether this root may make mounts; that of a container often may not, and then every folder must be open."""
    plan = {"uid": 0, "gid": 0, "groups": [], "folder": "/", "replaced": [["/var/tmp", [], "0755"]]}
    command = [sys.executable, "-I", "-S", str(_JAIL), json.dumps(plan), "--", "true"]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


@cache
def interpreter() -> tuple[Path, ...]:
    """The folders of this Python: the virtual environment's, the one that it was made from, and links on the way."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix)}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        found.add(link.parent.parent)
    return tuple(sorted(path for path in found if path not in {Path("/"), Path("/usr"), Path("/usr/local")}))


def replaced(wanted: Iterable[Path], user: User, *, tmp_mode: str) -> list[tuple[str, list[str], str]]:
    """Folders to replace by empty ones, with what is kept of each and the empty one's mode.

    Raises:
        PermissionError: one of `wanted` is a file that the user may not read.
    """
    kept: dict[str, set[str]] = {one: set() for one in _TEMPORARY if Path(one).is_dir() and not Path(one).is_symlink()}
    paths = {Path(os.path.normpath(each)) for path in wanted for each in (path.absolute(), path.resolve())}
    for path in sorted(paths):
        above = next((one for one in kept if path.is_relative_to(one)), None) or _closed(path, user)
        if above is None:
            continue
        kept.setdefault(str(above), set()).update(str(each) for each in _open_parts(path, user))
    modes = dict.fromkeys(_TEMPORARY, tmp_mode)
    return [
        (folder, [one for one in sorted(parts) if not _is_below(one, parts)], modes.get(folder, "0755"))
        for folder, parts in kept.items()
    ]


def _is_below(path: str, others: Iterable[str]) -> bool:
    return any(path != one and Path(path).is_relative_to(one) for one in others)


def _closed(path: Path, user: User) -> Path | None:
    """The topmost folder on the way, the path included, that the user may not enter."""
    for one in (*reversed(path.parents), path):
        if one.is_dir() and not _may(one, user, stat.S_IXOTH):
            return one
    return None


def _open_parts(path: Path, user: User) -> list[Path]:
    """The path itself, or its contents if it is a folder that the user may not enter."""
    if path.is_dir() and not _may(path, user, stat.S_IXOTH | stat.S_IROTH):
        return [each for part in path.iterdir() for each in _open_parts(part, user)]
    if not path.is_symlink() and not _may(path, user, stat.S_IROTH):
        if path.is_dir() or path.name.startswith("."):
            return []
        raise PermissionError(
            f"{path} is closed to uid {user.uid}, as which pods run; open the clone with: chmod -R go+rX {REPOSITORY}"
        )
    return [path]


def _may(path: Path, user: User, wanted: int) -> bool:
    """Whether the user has those of the permissions r and x, given as they are for others."""
    found = path.stat()
    if user.uid == 0:
        return True
    if found.st_uid == user.uid:
        wanted <<= 6
    elif found.st_gid in {user.gid, *user.groups}:
        wanted <<= 3
    return found.st_mode & wanted == wanted


@cache
def check() -> None:
    """Once a run: that a pod's user can start this Python and import what pods run.

    Raises:
        PermissionError: it cannot; with what it said.
    """
    program = "import os, sys, penstock, penstock_operator; print(os.getuid(), sys.prefix)"
    command = as_user([sys.executable, "-c", program], folder=Path("/"), needs=())
    done = subprocess.run(command, env={"PATH": os.defpath}, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0 or done.stdout.split() != [str(IMAGE_USER if is_root() else os.geteuid()), sys.prefix]:
        raise PermissionError(
            f"pods cannot be run as uid {IMAGE_USER} here: open {REPOSITORY} and the folders above it and above "
            f"{sys.executable} to others, or let root mount (CAP_SYS_ADMIN)\n{done.stdout}{done.stderr}"
        )


def give(file: Path, user: User = IMAGE) -> None:
    """Make the file the user's, as a volume with an fsGroup would."""
    if is_root():
        os.chown(file, user.uid, user.gid)


def writable(folder: Path) -> Path:
    """Make a folder of the test that pods can write, as a volume that they mount."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o1777)
    return folder
