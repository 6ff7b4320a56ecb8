"""An outside judge of what the chart renders: checkov finds nothing; each exception has its reason."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, render
from tests.support.postgres import missing

VERSION = "3.3.30"
ROOT = CHART.parent.parent
SKIPPED = {
    "CKV_K8S_15": "a release's tag is never moved, so a node that has the image need not contact the registry",
    "CKV_K8S_43": "the digest is known when an image is released; `image.digest` and `workerImage.digest` pin it",
}
"""At default values."""
ONCE = {
    **SKIPPED,
    "CKV_K8S_8": "a pod that runs one command exits by itself or at its deadline",
    "CKV_K8S_9": "a pod that runs one command serves no requests",
    "CKV_K8S_35": "commands take the database's URL from the environment only, in workers too",
}
"""With migrations and `helm test` turned on."""
PINNED = {"digest": f"sha256:{'a' * 64}", "pullPolicy": "Always"}
CASES: Mapping[str, tuple[dict[str, Any], Mapping[str, str]]] = {
    "defaults": ({}, SKIPPED),
    "pinned": ({"image": PINNED}, {}),
    "monitored": ({name: {"render": "always"} for name in ("serviceMonitor", "prometheusRule", "dashboards")}, SKIPPED),
    "once": (
        {
            "migrations": {"enabled": True, "secretRef": {"name": "owner"}},
            "doctor": {"secretRef": {"name": "observer"}},
            "watchNamespaces": ["shop"],
        },
        ONCE,
    ),
}
pytestmark = pytest.mark.timeout(900)


def environ() -> dict[str, str]:
    """Bytecode is kept whatever the environment says: half of checkov's start is its compilation."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "LOG_LEVEL": "ERROR", "BC_SOURCE": "cli"}


@pytest.fixture(scope="module")
def command() -> list[str]:
    """Checkov as it is installed, or from the package index into uv's cache."""
    if shutil.which("checkov"):
        return ["checkov"]
    command = [str(ROOT / "tools" / "uv"), "tool", "run", "--from", f"checkov=={VERSION}", "checkov"]
    tried = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, env=environ())
    if tried.returncode:
        missing(f"checkov cannot be installed here: {tried.stderr.strip()[-300:]}")
    return command


@pytest.fixture(scope="module")
def failures(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Check and resource of every failed check, by case. One run, for its start is what takes long."""
    folder = tmp_path_factory.mktemp("checkov")
    for name, (values, _) in CASES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(render(values)))
    options = [
        "--framework",
        "kubernetes",
        "--skip-download",
        "--compact",
        "--quiet",
        "--output",
        "json",
        "--directory",
    ]
    done = subprocess.run([*command, *options, str(folder)], capture_output=True, text=True, check=False, env=environ())
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 300, done.stderr
    assert report["summary"]["parsing_errors"] == 0
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in CASES}
    for check in report["results"]["failed_checks"]:
        found[Path(check["file_path"]).stem].add((check["check_id"], check["resource"]))
    return found


@pytest.mark.parametrize("name", CASES)
def test_no_check_fails_but_those_that_have_a_reason(name: str, failures: dict[str, set[tuple[str, str]]]):
    """And every exception is still needed: one that is not is taken out."""
    _, skipped = CASES[name]
    assert {check for check, _ in failures[name]} == set(skipped), sorted(failures[name])


def test_the_exceptions_and_their_reasons_are_documented():
    """On the page that a security engineer reads."""
    page = (ROOT / "docs" / "how-to" / "hardening.md").read_text(encoding="utf-8")
    assert [check for check, reason in ONCE.items() if f"| {check} | {reason} |" not in page] == []
