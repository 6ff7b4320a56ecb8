"""A change of code is noticed; other files are not code."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from penstock.dev.reload import changes, times, watch

if TYPE_CHECKING:
    from pathlib import Path


def test_added_removed_and_written_files_are_changes() -> None:
    """In order, and nothing else."""
    assert changes({"a": 1, "b": 1, "c": 1}, {"a": 2, "c": 1, "d": 1}) == ["a", "b", "d"]


def test_only_code_of_the_application_is_watched(tmp_path: Path) -> None:
    """Not data, not what lies in a virtual environment or a cache."""
    for name in ("jobs.py", "data.txt", ".venv/x.py", "__pycache__/y.py", "package/more.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(times(tmp_path)) == [str(tmp_path / "jobs.py"), str(tmp_path / "package" / "more.py")]


async def test_a_watched_change_is_reported_once(tmp_path: Path) -> None:
    """With the file's path."""
    found: list[list[str]] = []
    reported = asyncio.Event()

    def changed(paths: list[str]) -> None:
        found.append(paths)
        reported.set()

    jobs, probe = tmp_path / "jobs.py", tmp_path / "probe.py"
    task = asyncio.create_task(watch(tmp_path, changed, period=0.01))
    try:
        async with asyncio.timeout(60):
            for number in itertools.count():  # until it has started to watch
                if reported.is_set():
                    break
                probe.write_text("#" * number)
                await asyncio.sleep(0.02)
            (tmp_path / "new").write_text("x = 1")
            (tmp_path / "new").rename(jobs)  # at once: a file that is being written changes twice
            while not any(str(jobs) in paths for paths in found):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [path for paths in found for path in paths if path != str(probe)] == [str(jobs)]
