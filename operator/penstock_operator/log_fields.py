"""Fields of the operator's log lines: a constant message, and key=value pairs through `extra`."""

from __future__ import annotations

from typing import Any

from .resources.resource import JobQueue


def log_fields(queue: JobQueue, error: BaseException | None = None) -> dict[str, Any]:
    """Fields of a log line about a JobQueue: namespace, jobqueue and, if there is one, error."""
    fields: dict[str, Any] = {"namespace": queue.namespace, "jobqueue": queue.name}
    return fields if error is None else fields | {"error": str(error)}
