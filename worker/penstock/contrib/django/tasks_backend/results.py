"""Converts jobs to `TaskResult`: of a job in the database, of one that was just enqueued, of an attempt that runs.

The headers of a job keep what the framework knows of a task and Penstock does not: its exact priority, run_after, and
the time of the enqueue on the application's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from django.utils import timezone

from penstock.job import ClaimedJob, JobInfo, JobState

from .framework import Task, TaskError, TaskResult, TaskResultStatus

PRIORITY: Final = "django.priority"
RUN_AFTER: Final = "django.run_after"
ENQUEUED_AT: Final = "django.enqueued_at"
UNKNOWN_WORKER: Final = "?"
"""Stands for the worker of an earlier attempt in `worker_ids`, whose length is the number of attempts."""
_STATUS: Final = {
    JobState.SCHEDULED: TaskResultStatus.READY,
    JobState.QUEUED: TaskResultStatus.READY,
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.COMPLETED: TaskResultStatus.SUCCESSFUL,
    JobState.DEAD: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
}


def headers_of(task: Any, now: datetime) -> dict[str, str]:
    """The headers of a job of the task."""
    found = {PRIORITY: str(task.priority), ENQUEUED_AT: now.isoformat()}
    return found if task.run_after is None else {**found, RUN_AFTER: task.run_after.isoformat()}


def task_of(template: Any, headers: Mapping[str, str], *, queue: str, backend: str) -> Any:
    """The Task as it was when the job was enqueued. `template`: the Task of the same function."""
    return Task(
        func=template.func,
        takes_context=template.takes_context,
        priority=int(headers.get(PRIORITY, template.priority)),
        queue_name=queue,
        backend=backend,
        run_after=_time(headers, RUN_AFTER),
    )


def of_enqueued(job_id: int, task: Any, args: list[Any], kwargs: dict[str, Any], now: datetime) -> Any:
    """The result of a job that was just enqueued."""
    return _result(
        task, job_id, TaskResultStatus.READY, args=args, kwargs=kwargs, enqueued_at=now, errors=[], workers=[]
    )


def of_attempt(job: ClaimedJob, template: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an attempt that starts now. Makes no query: errors of earlier attempts are not in it."""
    headers = {} if job.headers is None else msgspec.json.decode(job.headers)
    return _result(
        task_of(template, headers, queue=job.queue, backend=template.backend),
        job.id,
        TaskResultStatus.RUNNING,
        args=args,
        kwargs=kwargs,
        enqueued_at=_time(headers, ENQUEUED_AT),
        started_at=timezone.now(),
        errors=[],
        workers=_workers(job.attempt, job.worker),
    )


def of_info(info: JobInfo, template: Any, backend: str) -> Any:
    """The result of a job in the database. A cancelled job counts as failed: the framework has no other word for it."""
    args, headers = info.args or {}, info.headers or {}
    task = task_of(template, headers, queue=info.queue, backend=backend)
    result = _result(
        task,
        info.id,
        _STATUS[info.state],
        args=args.get("args", []),
        kwargs=args.get("kwargs", {}),
        enqueued_at=_time(headers, ENQUEUED_AT) or info.created_at,
        started_at=info.claimed_at,
        finished_at=info.finished_at,
        errors=_errors(info),
        workers=_workers(info.attempt, info.worker),
    )
    if info.state is JobState.COMPLETED:
        object.__setattr__(result, "_return_value", info.result)
    return result


def task_error(exception: BaseException, traceback: str) -> Any:
    """The framework's form of an exception."""
    kind = type(exception)
    return TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=traceback)


def _result(
    task: Any,
    job_id: int,
    status: Any,
    *,
    args: list[Any],
    kwargs: dict[str, Any],
    enqueued_at: datetime | None,
    errors: list[Any],
    workers: list[str],
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> Any:
    return TaskResult(
        task=task,
        id=str(job_id),
        status=status,
        enqueued_at=enqueued_at,
        started_at=started_at,
        last_attempted_at=started_at,
        finished_at=finished_at,
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=errors,
        worker_ids=workers,
    )


def _time(headers: Mapping[str, str], name: str) -> datetime | None:
    found = headers.get(name)
    return None if found is None else datetime.fromisoformat(found)


def _workers(attempt: int, worker: int | None) -> list[str]:
    if attempt == 0:
        return []
    return [UNKNOWN_WORKER] * (attempt - 1) + [UNKNOWN_WORKER if worker is None else str(worker)]


def _errors(info: JobInfo) -> list[Any]:
    """What the history of the job has; one error for a job that failed without any."""
    history = info.errors if isinstance(info.errors, list) else [] if info.errors is None else [info.errors]
    found = [
        TaskError(exception_class_path=_importable(one.get("type")), traceback=one.get("traceback") or "")
        for one in history
    ]
    if not found and _STATUS[info.state] == TaskResultStatus.FAILED:
        kind = "JobCancelled" if info.state is JobState.CANCELLED else "JobFailed"
        found = [TaskError(exception_class_path=f"penstock.errors.{kind}", traceback=info.reason or "")]
    return found


def _importable(kind: str | None) -> str:
    """The path of the exception's class; a lost worker leaves a word instead."""
    return kind if kind and "." in kind else "penstock.errors.JobFailed"
