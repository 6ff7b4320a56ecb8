"""Events about a JobQueue, as objects of events.k8s.io/v1. Pure but for the clock."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from ..resources.resource import JobQueue
from ..sanitize import sanitized

NOTE_LENGTH: Final = 1024
CONTROLLER: Final = "penstock.dev/operator"


def event_of(queue: JobQueue, *, reason: str, note: str, warning: bool, action: str, instance: str) -> dict[str, Any]:
    """An event with the current time; `instance` is the reporting process."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    regarding = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "name": queue.name,
        "namespace": queue.namespace,
        "uid": queue.uid,
    }
    return {
        "metadata": {"generateName": f"{queue.name}-", "namespace": queue.namespace},
        "regarding": regarding,
        "reason": reason,
        "note": sanitized(note, NOTE_LENGTH),
        "action": action,
        "type": "Warning" if warning else "Normal",
        "eventTime": now,
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
    }
