"""The workflow files of GitHub: what they call exists, what they use is pinned, and what they may do is little."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.actionlint import actionlint

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github").rglob("*.yml"))
WORKFLOWS = [path for path in FILES if path.parent.name == "workflows"]
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def loaded(path: Path) -> dict[str, Any]:
    """A workflow; YAML reads its key `on` as true."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = loaded(path)["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Of all jobs, or of a composite action."""
    data = loaded(path)
    for job in data.get("jobs", {"": data.get("runs")}).values():
        yield from job.get("steps", [])


def made(path: Path) -> set[str]:
    """Targets of make that a workflow calls; those of a matrix stand in its variable."""
    text = path.read_text(encoding="utf-8")
    called = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", text))
    if 'make "$TARGET"' in text:
        matrices = [job.get("strategy", {}).get("matrix", {}).get("target", []) for job in jobs(path).values()]
        called |= {target for matrix in matrices for target in matrix if target.startswith("test-")}
    return called


def targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_target_that_a_workflow_makes_exists():
    """A renamed one would fail for the first time on a push."""
    called = set().union(*(made(path) for path in FILES))
    assert len(called) >= 10
    assert called - targets() == set()


def test_ci_runs_every_folder_of_tests_and_every_check():
    """A new folder of tests with its target is run there too."""
    wanted = {target for target in targets() if target.startswith("test-")} | {"lint", "type", "verify"}
    assert wanted - made(ROOT / ".github" / "workflows" / "ci.yml") == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_with_the_version_next_to_it(path: Path):
    """The owner of an action can move its tag; our own actions are of this commit."""
    uses = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert [line for line in uses if "uses: ./" not in line and not PINNED.match(line)] == []


def test_one_version_of_an_action_is_used_everywhere():
    """Of two, one was forgotten."""
    lines = "".join(path.read_text(encoding="utf-8") for path in FILES)
    uses = set(re.findall(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40})", lines))
    assert len(uses) >= 10
    assert len({name for name, _ in uses}) == len(uses)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_script_contains_an_expression(path: Path):
    """GitHub pastes expressions into a script as text: a branch's name would be code. Variables are values."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@each_workflow
def test_a_workflow_may_read_and_its_jobs_may_write_no_contents(path: Path):
    """More than reading is granted job by job, and only what signing needs."""
    assert loaded(path)["permissions"] == {"contents": "read"}
    granted = {(scope, right) for job in jobs(path).values() for scope, right in job.get("permissions", {}).items()} - {
        ("contents", "read")
    }
    assert granted <= {("id-token", "write"), ("attestations", "write")}
    assert "pull_request_target" not in path.read_text(encoding="utf-8")
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step.get("with", {}).get("persist-credentials") is not False] == []


@each_workflow
def test_every_job_ends_by_itself(path: Path):
    """GitHub's own limit is six hours."""
    assert [name for name, job in jobs(path).items() if "uses" not in job and "timeout-minutes" not in job] == []


def test_the_matrix_has_the_versions_of_postgres_that_are_supported():
    """As the page for production says: 15 and every newer one."""
    job = jobs(ROOT / ".github" / "workflows" / "ci.yml")["postgres"]
    assert job["strategy"]["matrix"]["postgres"] == ["15", "16", "17", "18"]


def test_nothing_is_published_before_everything_has_passed():
    """Each job of a release needs, directly or not, all of `ci`."""
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"

    def needs(name: str) -> set[str]:
        direct = release[name].get("needs", [])
        names = {direct} if isinstance(direct, str) else set(direct)
        return names | {further for one in names for further in needs(one)}

    assert [name for name in release if name != "ci" and "ci" not in needs(name)] == []


def test_actionlint_has_nothing_to_say():
    """Unknown keys, contexts, outputs and inputs, types in expressions, the syntax of `on`."""
    command = [str(actionlint()), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, WORKFLOWS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("contents: read", "content: read"),
        ("matrix.postgres", "matrix.postgresql"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24.4"),
        ("workflow_call:", "workflow_cal:"),
    ],
)
def test_actionlint_finds_a_mistake(right: str, wrong: str, tmp_path: Path):
    """The check above can fail."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    path = tmp_path / "ci.yml"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    done = subprocess.run(
        [actionlint(), "-shellcheck=", "-pyflakes=", path], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
