"""What the store reports about an empty queue, with changes."""

from __future__ import annotations

from typing import Any

from penstock.store import QueueState
from penstock.store.inspect.inspection import QueueRow


def queue_state(**changes: Any) -> QueueState:
    """The sample of a declared queue `emails`."""
    values: dict[str, Any] = {
        "id": 1,
        "name": "emails",
        "paused": False,
        "declared": True,
        "ready": 0,
        "capped": False,
        "deferred": 0,
        "due_soon": 0,
        "in_flight": 0,
        "dead": 0,
        "oldest": None,
        "workers": [],
    }
    return QueueState(**values | changes)


def queue_row(**changes: Any) -> QueueRow:
    """The row of queue `q` as people list it."""
    values: dict[str, Any] = {
        "name": "q",
        "declared_by": None,
        "paused": None,
        "paused_by": None,
        "ready": 0,
        "capped": False,
        "deferred": 0,
        "in_flight": 0,
        "dead": 0,
        "oldest": None,
        "workers": 0,
        "slots": 0,
        "max_in_flight": None,
        "limit_in_flight": None,
        "max_attempts": 5,
        "retention": 86_400.0,
        "job_deadline": None,
    }
    return QueueRow(**values | changes)
