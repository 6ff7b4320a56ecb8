"""Reduce the `kubernetes` package to what the operator uses: `python prune_kubernetes.py SITE_PACKAGES`.

Of 126 MB (bytecode included) the operator uses the configuration, the HTTP client and the loaders of credentials. The
rest is a model class for each kind of the API, of which kopf would import some, at a cost of time and memory. The build
of the image runs this file; it stands alone, for nothing else of the repository is there.

Fails, and names the file, if the package is not as expected: a new version is then read before it is pruned.
"""

from __future__ import annotations

import base64
import compileall
import csv
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

KEPT: Final = frozenset(
    {
        "client/configuration.py",
        "client/exceptions.py",
        "client/py.typed",
        "client/rest.py",
        "config/__init__.py",
        "config/config_exception.py",
        "config/dateutil.py",
        "config/exec_provider.py",
        "config/incluster_config.py",
        "config/kube_config.py",
        "py.typed",
        "utils/_retry_base.py",
        "utils/keepalive.py",
        "utils/retry.py",
    }
)
"""Files that stay as they are, below the package's folder."""

_MARK: Final = (
    "# Reduced by tools/image/prune_kubernetes.py of Penstock: the API classes and models are not part of this image.\n"
)
WRITTEN: Final = {
    "__init__.py": "from . import client, config\n",
    "client/__init__.py": '''from kubernetes.client import rest
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import (
    ApiAttributeError, ApiException, ApiKeyError, ApiTypeError, ApiValueError, OpenApiException,
)


class ApiClient:
    """A name that kubernetes.config imports; this image has no API classes."""

    def __init__(self, *_args, **_kwargs):
        raise NotImplementedError("the kubernetes package of this image has no API classes; use rest.RESTClientObject")
''',
    "utils/__init__.py": "",
}
"""Files that are written in the place of those that import everything."""
_CHECK: Final = (
    "from kubernetes import client, config\n"
    "client.rest.RESTClientObject(client.Configuration())\n"
    "config.load_incluster_config, config.load_kube_config, config.ConfigException\n"
)


class PruneError(Exception):
    """The package is not as this file expects it; nothing or a part has been removed."""


def prune(site_packages: Path) -> int:
    """Reduce the package in that folder; harmless twice.

    Returns:
        How many bytes were removed.

    Raises:
        PruneError: a file is missing that should stay, or what is left cannot be imported.
    """
    package = site_packages / "kubernetes"
    if missing := sorted(name for name in KEPT | WRITTEN.keys() if not (package / name).is_file()):
        raise PruneError(f"{package} has no {', '.join(missing)}: read the new version and adapt KEPT")
    before = _size(package)
    for path in sorted(package.rglob("*"), reverse=True):
        name = path.relative_to(package).as_posix()
        if path.is_dir() and not path.is_symlink():
            if path.name == "__pycache__":
                shutil.rmtree(path)
            elif not any(path.iterdir()):
                path.rmdir()
        elif name not in KEPT and name not in WRITTEN and path.parent.name != "__pycache__":
            path.unlink()
    for name, text in WRITTEN.items():
        (package / name).write_text(_MARK + text, encoding="utf-8")
    for record in site_packages.glob("kubernetes-*.dist-info/RECORD"):
        _rewrite(record, site_packages)
    compileall.compile_dir(package, quiet=2)  # the image's processes cannot write it
    _check(site_packages)
    return before - _size(package)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rewrite(record: Path, site_packages: Path) -> None:
    """The list of installed files names what is there, with its hash, so that audits of the image agree with it."""
    rows = []
    for name, known, size in csv.reader(record.read_text(encoding="utf-8").splitlines()):
        path = site_packages / name
        if not path.is_file():
            continue
        if known and name.removeprefix("kubernetes/") in WRITTEN:
            data = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append((name, f"sha256={digest}", str(len(data))))
        else:
            rows.append((name, known, size))
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _check(site_packages: Path) -> None:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site_packages)!r})\n{_CHECK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PruneError(f"what is left in {site_packages} cannot be imported:\n{done.stderr[-2000:]}")


def main(arguments: list[str]) -> int:
    """Exit code 0, 1 if the package is not as expected, or 2 for wrong arguments."""
    if len(arguments) != 1:
        sys.stderr.write("usage: prune_kubernetes.py SITE_PACKAGES\n")
        return 2
    try:
        removed = prune(Path(arguments[0]))
    except PruneError as error:
        sys.stderr.write(f"prune_kubernetes.py: {error}\n")
        return 1
    print(f"prune_kubernetes.py: removed {removed / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
