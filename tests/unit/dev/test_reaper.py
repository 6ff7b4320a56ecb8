"""The reaper stops children whose parent was killed, and does nothing while the parent lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.dev.reaper import Reaper
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest

PARENT = """
import os, signal, subprocess, sys
from pathlib import Path
from penstock.dev.reaper import Reaper
reaper = Reaper()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
reaper.watch(child.pid)
reaper.remove(Path(sys.argv[2]))
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
OBEDIENT = "print('up', flush=True); import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    """A reaper, dismissed after the test."""
    made = Reaper()
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("program", [OBEDIENT, STUBBORN], ids=["obedient", "stubborn"])
def test_the_child_and_the_directory_of_a_killed_parent_are_removed(program: str, tmp_path: Path) -> None:
    """SIGTERM first, SIGKILL for a process that ignores it; the directory last."""
    folder = tmp_path / "private"
    folder.mkdir()
    reported = subprocess.run(
        [sys.executable, "-c", PARENT, program, folder], stdout=subprocess.PIPE, text=True, check=False, timeout=120
    )
    assert reported.returncode == -signal.SIGKILL
    child = int(reported.stdout)
    eventually(lambda: not alive(child), "the child has ended")
    eventually(lambda: not folder.exists(), "the directory is gone")


def test_a_dismissed_reaper_leaves_everything_alone(reaper: Reaper, tmp_path: Path) -> None:
    """We are there to end things ourselves."""
    child = subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.DEVNULL)
    try:
        reaper.watch(child.pid)
        reaper.remove(tmp_path)
        reaper.close()
        assert child.poll() is None
        assert tmp_path.exists()
    finally:
        child.kill()
        child.wait()


def test_a_forgotten_process_is_not_signalled() -> None:
    """It has ended, and its id may be somebody else's."""
    reaper = Reaper()
    child = subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.DEVNULL)
    try:
        reaper.watch(child.pid)
        reaper.forget(child.pid)
        assert reaper._process.stdin is not None
        reaper._process.stdin.close()  # as if we had been killed
        reaper._process.wait(90)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_reaper_that_was_killed_breaks_nothing(reaper: Reaper) -> None:
    """Its service is lost; ours goes on."""
    os.kill(reaper.pid, signal.SIGKILL)
    reaper._process.wait()
    for pid in range(10, 20):
        reaper.forget(pid)
