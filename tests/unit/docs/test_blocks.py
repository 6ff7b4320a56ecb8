"""Code and manifests in the documents: each is run, imported or validated as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.jobqueue.manifests import load_manifests
from tests.unit.docs.pages import Page, pages

ALL = list(pages())
WITH_PYTHON = [one for one in ALL if any(block.language == "python" for block in one.blocks)]
MANIFESTS = [
    pytest.param(block.text, id=f"{one.name}:{block.line}")
    for one in ALL
    for block in one.blocks
    if block.language == "yaml"
]
CALL_TESTS = "import {module} as m\nfor name in dir(m):\n    name.startswith('test_') and getattr(m, name)()\n"


def run(code: str, folder: Path) -> None:
    """Run code in a process of its own, where nothing of ours is configured."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"


def run_pytest(folder: Path, page: Page, name: str) -> None:
    """Run a page's file of tests with pytest, configured as the page says."""
    (config,) = [block.text for block in page.blocks if block.language == "toml"]
    (folder / "pyproject.toml").write_text(config + 'pythonpath = ["."]\n', encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda one: one.name)
def test_python_of_a_page_compiles_imports_and_runs(page: Page, tmp_path: Path):
    """Files are written and imported, tests among them called, the rest run in order; what needs a server is not."""
    for name, text in page.files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for block in page.blocks:
        if block.language != "python":
            continue
        compile(block.text, f"{page.name}:{block.line}", "exec")
        module = block.file.removesuffix(".py").replace("/", ".")
        if block.needs == "pytest":
            run_pytest(tmp_path, page, block.file)
        if block.needs:
            continue
        if not module:
            run(block.text, tmp_path)
        else:
            run(CALL_TESTS.format(module=module) if module.startswith("test_") else f"import {module}", tmp_path)


def test_some_page_has_python_to_run():
    """So that the test above cannot pass by finding nothing."""
    assert {"README.md", "docs/tutorial/getting-started.md"} <= {one.name for one in WITH_PYTHON}


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_manifest_of_a_page_is_valid(text: str, tmp_path: Path):
    """As `penstock dev` and the API server would judge it."""
    path = tmp_path / "jobqueues.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_manifests(path)
