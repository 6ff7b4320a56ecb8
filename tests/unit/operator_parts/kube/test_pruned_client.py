"""The image's Kubernetes client: reduced to what the operator uses, and the operator works with it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import kubernetes
import pytest
import yaml
from tools.image import prune_kubernetes

MODELS = shutil.ignore_patterns("models", "api", "aio", "dynamic", "__pycache__")
CALL = """
import asyncio, pathlib, sys
import kopf, penstock_operator.__main__, kubernetes
from penstock_operator.kube.api_paths import item
from penstock_operator.kube.client import Cluster

async def main():
    cluster = Cluster(instance="operator-0", kubeconfig=sys.argv[1])
    print((await cluster.request("GET", item("Lease", "shop", "penstock")))["kind"], cluster.token())
    cluster.close()

asyncio.run(main())
print(pathlib.Path(kubernetes.__file__).parents[1])
unused = {"kubernetes.client.models", "kubernetes.client.api", "kubernetes.dynamic", "pydantic"}
print(sorted(unused & sys.modules.keys()))
"""


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """A folder with the package as it is installed here, a model for all models, and its list of files."""
    folder = tmp_path / "site-packages"
    installed = Path(kubernetes.__file__).parent
    shutil.copytree(installed, folder / "kubernetes", ignore=MODELS)
    for name in ("client/models/v1_pod.py", "client/api/core_v1_api.py"):
        (folder / "kubernetes" / name).parent.mkdir(parents=True)
        shutil.copy(installed / name, folder / "kubernetes" / name)
    version = importlib.metadata.version("kubernetes")
    info = folder / f"kubernetes-{version}.dist-info"
    info.mkdir()
    names = [path.relative_to(folder).as_posix() for path in (folder / "kubernetes").rglob("*.py")]
    (info / "RECORD").write_text("".join(f"{name},sha256=x,1\n" for name in sorted(names)))
    return folder


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A file that leads to an API server on loopback, which knows one object."""

    class OneLease(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"kind": "Lease"}')

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), OneLease)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    try:
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_operator_works_with_what_the_image_keeps(site_packages: Path, kubeconfig: Path):
    """It starts, logs in and gets an answer; no model and no API class is imported, by kopf neither."""
    prune_kubernetes.prune(site_packages)
    command = [sys.executable, "-W", "error::ImportWarning", "-c", CALL, str(kubeconfig)]
    environ = {**os.environ, "PYTHONPATH": str(site_packages)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Lease Bearer t", str(site_packages), "[]"]


def test_what_is_kept_is_small_and_listed(site_packages: Path):
    """Under a megabyte in place of 126; the list of installed files names what is there and nothing else."""
    removed = prune_kubernetes.prune(site_packages)
    assert removed > 100_000
    files = [path for path in (site_packages / "kubernetes").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    (record,) = site_packages.glob("*.dist-info/RECORD")
    listed = {line.partition(",")[0] for line in record.read_text().splitlines()}
    assert listed == {path.relative_to(site_packages).as_posix() for path in files if path.suffix == ".py"}
    assert "kubernetes/__init__.py,sha256=x" not in record.read_text()
    assert prune_kubernetes.main([str(site_packages)]) == 0


def test_a_version_that_is_otherwise_is_refused_before_anything_is_removed(
    site_packages: Path, capsys: pytest.CaptureFixture[str]
):
    """An upgrade of the version reads it first."""
    (site_packages / "kubernetes" / "client" / "rest.py").rename(site_packages / "kubernetes" / "client" / "http.py")
    assert prune_kubernetes.main([str(site_packages)]) == 1
    assert "has no client/rest.py" in capsys.readouterr().err
    assert (site_packages / "kubernetes" / "client" / "api" / "core_v1_api.py").is_file()


def test_what_cannot_be_imported_afterwards_fails_the_build(site_packages: Path, capsys: pytest.CaptureFixture[str]):
    """Not the first pod that runs the image."""
    with (site_packages / "kubernetes" / "client" / "rest.py").open("a") as file:
        file.write("\nimport kubernetes.client.models\n")
    assert prune_kubernetes.main([str(site_packages)]) == 1
    assert "cannot be imported" in capsys.readouterr().err
