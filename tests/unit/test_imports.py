"""The import contracts object to each kind of wrong import, and the tree has no circle of imports."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import import_graph

ROOT = Path(__file__).parents[2]
FREE = {"django", "msgspec", "psycopg", "psycopg_pool"}
"""Libraries that more than three modules may import."""
PLANES = "The worker never imports the operator"
WORKER, OPERATOR = "Layers of penstock", "Layers of penstock_operator"
CYCLES = "No cycles between siblings"
USES = "What the operator uses of the worker's distribution"
PSYCOPG = "psycopg is imported by the store alone"
PROMETHEUS = "prometheus_client is imported by the metrics modules alone"
KUBERNETES = "kubernetes is imported by the operator's client alone"
KOPF = "kopf is imported by the operator's watches alone"
TYPER = "typer is imported by the command line alone"
MSGSPEC = "msgspec is imported where values are encoded or decoded"
EXTRAS = "Libraries of the extras have one importer each"
PURE = "Pure modules take time and randomness as arguments"
TYPING = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {}"
INSIDE = "def planted():\n    {}"


class Wrong(NamedTuple):
    """Lines in a module, and the contract that has to object; each module stands here once."""

    module: str
    lines: str
    contract: str
    new: bool = False


WRONG = [
    # a library outside the modules that may import it
    Wrong("penstock.runtime.execution.task_reuse", "import prometheus_client", PROMETHEUS),
    Wrong("penstock_operator.loops.database_loop", "from prometheus_client import Counter", PROMETHEUS),
    Wrong("penstock.app.client", INSIDE.format("import psycopg"), PSYCOPG),
    Wrong("penstock_operator.database.connection", "from psycopg_pool import ConnectionPool", PSYCOPG),
    Wrong("penstock_operator.jobqueue.reconciler", "import kopf", KOPF),
    Wrong("penstock_operator.loop_supervisor", "from kubernetes.client import ApiClient", KUBERNETES),
    Wrong("penstock.dev.processes", "import kubernetes", KUBERNETES),
    Wrong("penstock.runtime.main", INSIDE.format("import typer"), TYPER),
    Wrong("penstock.stages.core.stage", "import msgspec", MSGSPEC),
    Wrong("penstock.dev.session", TYPING.format("from rich.live import Live"), EXTRAS),
    Wrong("penstock.app.loading", "import uvloop", EXTRAS),
    Wrong("penstock.testing.inline", "import pytest", EXTRAS),
    Wrong("penstock.cli.doctor", "import yaml", EXTRAS),
    # a module of a higher layer
    Wrong("penstock.scaling.decide", "from penstock.cli import output", WORKER),
    Wrong("penstock.store.store", "from penstock.runtime.claims import claimer", WORKER),
    Wrong("penstock.store.listen", TYPING.format("from ..app.app import App"), WORKER),
    Wrong("penstock.runtime.worker", INSIDE.format("from penstock.dev.session import local_run"), WORKER),
    Wrong("penstock.app.app", "from ..testing.inline import InlineCollector", WORKER),
    Wrong("penstock.runtime.drain", "from ..testing import Collected", WORKER),
    Wrong("penstock.app.context", "from penstock.runtime import run_worker", WORKER),
    Wrong("penstock.jobqueue.policy", "from ..store.errors import ours", WORKER),
    Wrong("penstock.scaling.sampler", "from penstock.store import QueueState", WORKER),
    Wrong("penstock.settings", TYPING.format("from .jobqueue.policy import QueuePolicy"), WORKER),
    Wrong("penstock.stages.errors", "from penstock.errors import PenstockError", WORKER),
    Wrong("penstock.errors", "from .settings import Settings", WORKER),
    Wrong("penstock_operator.kube.client", "from ..jobqueue.status import stamp", OPERATOR),
    Wrong("penstock_operator.jobqueue.plan", "from .. import loop_supervisor", OPERATOR),
    Wrong("penstock_operator.database.client", "from ..kube.cache import Cache", OPERATOR),
    Wrong("penstock_operator.resources.resource", "from ..kube import api_paths", OPERATOR),
    Wrong("penstock_operator.jobqueue.pods.pod_view", "from ..reconciler import logger", CYCLES),
    Wrong("penstock.store.jobs", "from .maintenance import Maintenance", "Layers of the store"),
    Wrong("penstock.stages.core.buffer", "from ..pipeline import Pipeline", "Layers of the stages"),
    Wrong(
        "penstock_operator.jobqueue.status",
        "from .replicas import scale_down",
        "Layers of the reconciliation of a JobQueue",
    ),
    # across the two distributions
    Wrong("penstock.dev.autoscaler", "from penstock_operator.errors import OperatorError", PLANES),
    Wrong("penstock_operator.main", "from penstock.runtime import run_worker", USES),
    Wrong("penstock_operator.settings", "from penstock import App", USES),
    Wrong("penstock_operator.http_pages", "from penstock.stages import Stage", USES),
    # a circle, whether it is run or only read by a type checker
    Wrong("penstock.app.options", TYPING.format("from .task import Task"), CYCLES),
    Wrong("penstock.stages.timeouts", TYPING.format("from .core.stage import Stage"), CYCLES),
    # time, randomness and threads in a pure module
    Wrong("penstock.scaling.bounds", "import asyncio", PURE),
    Wrong("penstock.backoff", "from random import random", PURE),
    Wrong("penstock.scaling.demand", INSIDE.format("from time import monotonic"), PURE),
    Wrong("penstock_operator.resources.conditions", "import threading", PURE),
    # a module that nobody gave a layer
    Wrong("penstock.helpers", "VALUE = 1", WORKER, new=True),
    Wrong("penstock_operator.utilities", "VALUE = 1", OPERATOR, new=True),
    Wrong("penstock.store.extra", "VALUE = 1", "Layers of the store", new=True),
]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> import_graph.Checked:
    """Both trees copied, each wrong import planted, checked once in another process."""
    folder = tmp_path_factory.mktemp("planted")
    for package in ("worker/penstock", "operator/penstock_operator"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.sql"))
    shutil.copy(ROOT / ".importlinter", folder / "contracts")
    planted = [import_graph.Planted(module=one.module, lines=one.lines, contract=one.contract) for one in WRONG]
    (folder / "planted.json").write_text(json.dumps(planted), encoding="utf-8")
    command = [sys.executable, "-P", import_graph.__file__, str(folder)]
    paths = os.pathsep.join(str(folder / project) for project in ("worker", "operator"))
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: import_graph.Checked = json.loads(done.stdout)
    return found


def test_the_tree_keeps_every_contract(checked: import_graph.Checked):
    """The copy without the wrong imports, so that each objection below is to the planted line."""
    assert checked["broken"] == []


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{one.module} {one.contract}" for one in WRONG])
def test_a_wrong_import_breaks_its_contract(checked: import_graph.Checked, number: int):
    """Inside a function, under TYPE_CHECKING, relative or not; and a module without a layer."""
    assert bool(checked["edges"][number]) != WRONG[number].new
    assert checked["objected"][number]


def test_no_module_imports_itself_through_others(checked: import_graph.Checked):
    """Imports for type checkers included."""
    assert checked["circles"] == []


def test_every_library_has_a_contract_that_names_its_importers(checked: import_graph.Checked):
    """A new dependency is imported by a named module, or by its layer of the tree."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    named = {name for section in parser for name in parser[section].get("forbidden_modules", "").split()}
    assert set(checked["libraries"]) - named == set()
    assert {name for name, importers in checked["libraries"].items() if len(importers) > 3} - FREE == {"typer"}


def test_each_wrong_import_stands_in_a_module_of_its_own():
    """If two shared a module, one could hide that the other is accepted."""
    modules = [one.module for one in WRONG]
    assert len(set(modules)) == len(modules) >= 18
