"""The how-to of a cluster, typed word for word into a shell: it ends with pods that have run the job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support import strays
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.database import PodPostgres
from tests.support.go_build import ROOT
from tests.unit.docs.pages import page

PAGE = page("docs/how-to/cluster.md")
UNTIL = "## Use a pooler"
HOST = "postgres.example.com"
PASSWORD, QUOTED = "p@ss/w:rd%", "p%40ss%2Fw%3Ard%25"
QUEUES = ("emails", "images", "analytics", "reports")
SHELL_SECONDS = 500.0
_FUNCTIONS = """\
set -euo pipefail
make() { test "$*" = setup; }  # the virtual environment is the one of this run
"""
_RUN_SQL = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute(open(sys.argv[2]).read())"
_FOLDERS = ("worker", "operator", "charts", "examples", "tools")
_COPIED = ("Dockerfile", "LICENSE", ".dockerignore", "*.toml", "uv.lock", *_FOLDERS)


@pytest.fixture
def server(cluster: Cluster) -> Iterator[PodPostgres]:
    """A server of this test's own, for the documented names of roles: database `shop`, whose owner may make roles."""
    if cluster.node is None:
        pytest.skip("the page is typed for a node of this machine")
    server = PodPostgres(address=cluster.node.layout.host_address)
    assert server.embedded is not None
    strays.keep(server.embedded.pids)
    with psycopg.connect(server.embedded.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE shop_owner LOGIN CREATEROLE PASSWORD {}").format(PASSWORD))
        admin.execute(b"CREATE DATABASE shop OWNER shop_owner")
    try:
        yield server
    finally:
        server.close()


@pytest.mark.timeout(900)
def test_the_how_to_of_a_cluster_ends_with_a_job_run_by_a_pod(cluster: Cluster, server: PodPostgres, tmp_path: Path):
    """Images, roles, Secret, Helm, JobQueues, the job, and no pod afterwards; each command as the page has it."""
    owner = f"postgresql://shop_owner:{QUOTED}@{server.address}/shop"
    clone = copy_of_the_clone(tmp_path / "clone")
    script = tmp_path / "typed.sh"
    script.write_text(_FUNCTIONS + "cd $CLONE\n" + "\n".join(typed(tmp_path, owner, server.address)) + "\n")
    try:
        done = subprocess.run(
            ["bash", str(script)],
            input=f"postgresql://shop_worker:{QUOTED}@{server.address}/shop\n"
            f"postgresql://shop_operator:{QUOTED}@{server.address}/shop\n",
            env=environment(cluster, tmp_path, clone),
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}\n{cluster.describe('penstock')}"
        for name in QUEUES:
            cluster.wait_for(partial(ready, cluster, name), f"JobQueue {name} is ready", namespace="shop")
        cluster.wait_for(lambda: states(owner) == {"completed": 1}, "the job has run", namespace="shop")
        cluster.wait_for(lambda: not cluster.pods("shop"), "no pod is left", namespace="shop", seconds=400)
    finally:
        cluster.helm("uninstall", "penstock", "--namespace", "penstock", "--ignore-not-found", "--wait")
        cluster.kubectl("delete", "crd", "jobqueues.penstock.dev", "--ignore-not-found")
        cluster.kubectl("delete", "namespace", "shop", "penstock", "--ignore-not-found", "--wait=false")


def typed(folder: Path, owner: str, address: str) -> Iterator[str]:
    """The lines of the page's shell from the images to the first job, in their order.

    What only a person has is put in: the address of the database and passwords. A watch ends after two seconds.
    """
    end = (ROOT / PAGE.name).read_text().splitlines().index(UNTIL)
    for number, block in enumerate(one for one in PAGE.blocks if one.line < end):
        if block.language == "sql":
            file = folder / f"{number}.sql"
            logins = re.findall(r"CREATE ROLE (\w+) LOGIN", block.text)
            passwords = [f"ALTER ROLE {login} PASSWORD '{PASSWORD}';" for login in logins]
            file.write_text("\n".join([block.text, *passwords]))
            yield f"\"$PYTHON\" -c '{_RUN_SQL}' '{owner}' {file}"
        for line in block.text.splitlines() if block.language == "console" else ():
            command = line.removeprefix("$ ").replace("shop_owner@", f"shop_owner:{QUOTED}@").replace(HOST, address)
            yield f"timeout 2 {command} || test $? = 124" if command.endswith("--watch") else command


def copy_of_the_clone(folder: Path) -> Path:
    """The tracked files of this clone, the page's own files, and this run's virtual environment."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", *_COPIED]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name, text in PAGE.files().items():
        (folder / name).write_text(text)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


def environment(cluster: Cluster, folder: Path, clone: Path) -> dict[str, str]:
    """Of the shell: kubectl and helm on PATH, the cluster as kubectl's, nothing of ours."""
    assert cluster.node is not None
    programs = folder / "bin"
    programs.mkdir()
    (programs / "helm").symlink_to(cluster.programs.path("helm"))
    pushing = f"env PYTHONPATH={ROOT} {sys.executable} -m tests.support.cluster.pushing {cluster.node.layout.name}"
    for name, command in (("kubectl", " ".join(cluster.programs.component("kubectl"))), ("docker", pushing)):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "XDG_CACHE_HOME") if name in os.environ}
    return {
        **kept,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "CLONE": str(clone),
        "PYTHON": sys.executable,
    }


def ready(cluster: Cluster, name: str) -> bool:
    found: Any = cluster.request("GET", f"/apis/penstock.dev/v1alpha1/namespaces/shop/jobqueues/{name}")
    conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
    assert conditions.get("Ready", {}).get("status") == "True", conditions.get("Ready")
    return True


def states(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT state::text, count(*) FROM penstock.jobs GROUP BY 1").fetchall())
