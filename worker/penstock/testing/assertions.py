"""What a test expects to have been enqueued, held against what was collected; and the sentence when it was not.

Pure: values in, values out. Must not run jobs, nor know of a test runner: `Collected` and the pytest plugin offer it.

Surprising: an expectation is a job, made by `task.job(...)` as the code under test makes it, so it is typed and checked
like one. An option that it leaves at a job's default is not compared; arguments are, as they would be stored: a default
that nobody gave is in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..app.task import Task
from ..job import NewJob

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 10
"""Collected jobs that a failed assertion tells."""

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
    """The options that somebody chose for this job: those that are not a job's defaults."""
    plain = NewJob(task=expected.task, args=expected.args)
    return {name: value for name in _OPTIONS if (value := getattr(expected, name)) != getattr(plain, name)}


def _has(job: NewJob, options: dict[str, object]) -> bool:
    return all(_comparable(getattr(job, name)) == _comparable(value) for name, value in options.items())


def _comparable(value: object) -> object:
    """Headers are kept as JSON text, and may be expected as a mapping."""
    if isinstance(value, str) and value.startswith("{"):
        return msgspec.json.decode(value)
    return value


def told(jobs: Sequence[NewJob], expected: Task[..., Any, ..., Any] | NewJob, options: dict[str, object]) -> str:
    """One sentence and the jobs that are nearest: those of the same task, or else all."""
    task = expected.task if isinstance(expected, NewJob) else expected.name
    wanted = _line(expected) if isinstance(expected, NewJob) else f"any {task}"
    if options:
        wanted += f" with {', '.join(f'{name}={value!r}' for name, value in options.items())}"
    near = [job for job in jobs if job.task == task] or jobs
    return f"expected {wanted}; " + (listed(near) if near else "nothing was enqueued")


def listed(jobs: Sequence[NewJob]) -> str:
    """What was enqueued, a line each."""
    lines = ["enqueued were:", *(f"  {_line(job)}" for job in jobs[:SHOWN])]
    if len(jobs) > SHOWN:
        lines.append(f"  and {len(jobs) - SHOWN} more")
    return "\n".join(lines)


def _line(job: NewJob) -> str:
    options = "".join(f" {name}={value!r}" for name, value in _chosen(job).items())
    return f"{job.task} {job.args}{options}"
