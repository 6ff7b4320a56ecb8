"""The second chance in `make ci`: few failures get one, and what fails twice has failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.again import MOST, again, failed

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"]
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
def suite(tmp_path: Path) -> Path:
    """A folder with a test that fails at first, and others that fail when told."""
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
    assert "UNSTABLE, failed once and then passed; to be mended: test_it.py::test_unstable" in capfd.readouterr().out
    assert failed(suite) == []


def test_what_fails_twice_has_failed(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Beside one that passes the second time."""
    (suite / "broken").touch()
    assert run(suite) == 1
    assert again(suite, PYTEST) == 1
    assert "failed twice" in capfd.readouterr().out


def test_many_failures_are_no_accident(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor is a suite that failed without a failed test."""
    assert again(suite, PYTEST) == 1
    (suite / "four").touch()
    assert run(suite) == 1
    assert len(failed(suite)) > MOST
    assert again(suite, PYTEST) == 1
    assert "5 tests failed; none is run again" in capfd.readouterr().out
