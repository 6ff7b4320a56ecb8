"""The rerun in `make ci`: few failures get one, and what fails twice has failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.again import MAX_TESTS, again, failed

PYTEST = [sys.executable, "-m", "pytest", "-q"]
TESTS = """
import pathlib, pytest
here = pathlib.Path(__file__).parent
def test_steady(): (here / "steady").touch(exist_ok=False)
def test_unstable():
    first = not (here / "seen").exists()
    (here / "seen").touch()
    assert not first
def test_broken(): assert not (here / "broken").exists()
@pytest.mark.parametrize("number", range(4))
def test_four(number): assert not (here / "four").exists()
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a test that fails at first, and others that fail on request; it needs none of our plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run(suite: Path) -> int:
    return subprocess.run([*PYTEST], cwd=suite, check=False, capture_output=True).returncode


def test_what_passes_the_second_time_is_named_as_unstable(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only that test runs again."""
    assert run(suite) == 1
    assert failed(suite) == ["test_it.py::test_unstable"]
    assert again(suite, PYTEST) == 0
    assert "UNSTABLE: passed only when rerun, needs a fix: test_it.py::test_unstable" in capfd.readouterr().out
    assert failed(suite) == []


def test_what_fails_twice_has_failed(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Along with one that passes the second time."""
    (suite / "broken").touch()
    assert run(suite) == 1
    assert again(suite, PYTEST) == 1
    assert "failed again" in capfd.readouterr().out


def test_many_failures_are_not_rerun(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor is a suite that failed without a failed test."""
    assert again(suite, PYTEST) == 1
    (suite / "four").touch()
    assert run(suite) == 1
    assert len(failed(suite)) > MAX_TESTS
    assert again(suite, PYTEST) == 1
    assert "no rerun: failed tests: 5" in capfd.readouterr().out
