"""Compares the jobs that a test expects with those that were collected, and describes the difference.

Pure. Must not run jobs, or depend on a test runner: `Collected` and the pytest plugin call it. An expected job is made
by `task.job(...)`, as in the code under test, and is typed and checked like one. Options that have a job's defaults are
not compared; arguments are compared as they are stored, without parameters that were not given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..app.task import Task
from ..job import NewJob

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 10
"""Maximum number of collected jobs in the message of a failed assertion."""

_OPTIONS = ("queue", "priority", "max_attempts", "delay", "at", "headers", "unique")


def matching(
    jobs: Sequence[NewJob], expected: Task[..., Any, ..., Any] | NewJob, options: dict[str, object]
) -> list[NewJob]:
    """The jobs that are as expected, in order.

    Args:
        jobs: what was enqueued.
        expected: a task: any of its jobs. A job: those of the same task with equal arguments, and with every option
            equal that the expected one does not leave at a job's default.
        options: attributes of `NewJob` by name, each of which must be equal.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise TypeError(f"assert_enqueued compares {', '.join(_OPTIONS)}; got {', '.join(unknown)}")
    if not isinstance(expected, NewJob):
        return [job for job in jobs if job.task == expected.name and _has(job, options)]
    wanted = {**_chosen(expected), **options}
    arguments = msgspec.json.decode(expected.args)
    return [
        job
        for job in jobs
        if job.task == expected.task and msgspec.json.decode(job.args) == arguments and _has(job, wanted)
    ]


def _chosen(expected: NewJob) -> dict[str, object]:
    """The options of this job that differ from a job's defaults."""
    plain = NewJob(task=expected.task, args=expected.args)
    return {name: value for name in _OPTIONS if (value := getattr(expected, name)) != getattr(plain, name)}


def _has(job: NewJob, options: dict[str, object]) -> bool:
    return all(_comparable(getattr(job, name)) == _comparable(value) for name, value in options.items())


def _comparable(value: object) -> object:
    """Headers are stored as JSON text, and may be expected as a mapping."""
    if isinstance(value, str) and value.startswith("{"):
        return msgspec.json.decode(value)
    return value


def difference(jobs: Sequence[NewJob], expected: Task[..., Any, ..., Any] | NewJob, options: dict[str, object]) -> str:
    """The expected job, and the collected jobs of the same task, or all jobs without one."""
    task = expected.task if isinstance(expected, NewJob) else expected.name
    wanted = _line(expected) if isinstance(expected, NewJob) else f"any {task}"
    if options:
        wanted += f" with {', '.join(f'{name}={value!r}' for name, value in options.items())}"
    near = [job for job in jobs if job.task == task] or jobs
    return f"expected {wanted}; " + (listed(near) if near else "nothing was enqueued")


def listed(jobs: Sequence[NewJob]) -> str:
    """The collected jobs, one per line."""
    lines = ["enqueued were:", *(f"  {_line(job)}" for job in jobs[:SHOWN])]
    if len(jobs) > SHOWN:
        lines.append(f"  and {len(jobs) - SHOWN} more")
    return "\n".join(lines)


def _line(job: NewJob) -> str:
    options = "".join(f" {name}={value!r}" for name, value in _chosen(job).items())
    return f"{job.task} {job.args}{options}"
