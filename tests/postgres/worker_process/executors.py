"""Reads what the tests of executors check: the outcome of a job, and whether a process exists."""

from __future__ import annotations

from pathlib import Path

from penstock import JobHandle, JobState
from tests.postgres import desk


def over(handle: JobHandle, seconds: float = 60) -> tuple[str, str | None]:
    """State and reason, once the job has ended."""
    desk.until(lambda: handle.status() in {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}, seconds)
    return handle.status().value, handle.info().reason


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
