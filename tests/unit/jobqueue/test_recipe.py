"""The recipe of CONTRIBUTING.md for a field of the JobQueue, followed in a copy of the tree: three files are edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.jobqueue.examples import REPOSITORY

CRD, MODEL, SETTINGS = "crds/jobqueue.yaml", "worker/penstock/jobqueue/policy.py", "worker/penstock/settings.py"
DRAINS = "    drain_timeout_seconds: Annotated[_Week"
FIELD = """\
                    priorityFloor:
                      type: integer
                      format: int32
                      minimum: 0
                      maximum: 3
                      default: 2
                      description: Lowest priority that a worker of this queue takes. Default 2.
"""
EDITS = {
    CRD: (
        "                    concurrency:\n",
        FIELD,
    ),
    MODEL: (
        DRAINS,
        '    priority_floor: Annotated[int, msgspec.Meta(ge=0, le=3), _sets("priority_floor")] = 2\n',
    ),
    SETTINGS: (
        '    queue: str = _setting("QUEUE"',
        '    priority_floor: int = _setting("PRIORITY_FLOOR", 3, "Lowest priority taken.", low=0, high=3)\n',
    ),
}
"""For each file the text before which the lines go."""

PROGRAM = """
from pathlib import Path

import penstock
from penstock.jobqueue.manifests import load_manifests
from penstock.jobqueue.worker_settings import worker_settings
from penstock.settings import Settings
from penstock_operator.jobqueue.template import worker_container
from tools import generate, pages

root = Path.cwd()
assert Path(penstock.__file__).is_relative_to(root), penstock.__file__
for one in generate.TABLE:
    if one.source == "crds/jobqueue.yaml" or one.path.endswith("configuration.md"):
        (root / one.path).write_text(one.make(), encoding="utf-8")
[read] = load_manifests(root / "queues.yaml")
settings = worker_settings(read.policy, base=Settings())
print(read.policy.worker.priority_floor, settings.priority_floor, settings.to_env()["PENSTOCK_PRIORITY_FLOOR"])
print("PENSTOCK_PRIORITY_FLOOR" in worker_container._FROM_SPEC)
"""
MANIFEST = """
apiVersion: penstock.dev/v1alpha1
kind: JobQueue
metadata: {name: emails}
spec:
  databaseRef: {secretRef: {name: shop-postgres}}
  worker: {app: "shop.jobs:app", template: {spec: {containers: [{name: worker, image: "shop:1"}]}}}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the recipe touches, with the three edits."""
    for folder in ("worker", "operator", "tools", "crds", "docs", "charts", "tests/unit/jobqueue"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("tests/__init__.py", "tests/unit/__init__.py"):
        shutil.copy(REPOSITORY / file, tmp_path / file)
    (tmp_path / "queues.yaml").write_text(MANIFEST, encoding="utf-8")
    for name, (before, lines) in EDITS.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert before in text, name
        (tmp_path / name).write_text(text.replace(before, lines + before, 1), encoding="utf-8")
    return tmp_path


def run(tree: Path, *arguments: str) -> str:
    paths = os.pathsep.join(str(tree / name) for name in ("worker", "operator", "."))
    environ = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_field_is_added_in_three_files(tree: Path):
    """The definition, the model and the worker's setting; the rest follows or is generated."""
    assert run(tree, "-c", PROGRAM).splitlines() == ["2 2 2", "True"]
    contract = "tests/unit/jobqueue/test_crd_contract.py"
    assert "passed" in run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract)
    for page, text in (("jobqueue", "worker.priorityFloor"), ("configuration", "PENSTOCK_PRIORITY_FLOOR")):
        assert text in (tree / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")


def test_the_recipe_names_the_files_that_were_edited():
    """In its first steps, in this order."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipe = text.split("Add a JobQueue field\n", 1)[1].split("\n\n", 1)[0]
    assert [recipe.index(f"`{name}`") for name in EDITS] == sorted(recipe.index(f"`{name}`") for name in EDITS)
