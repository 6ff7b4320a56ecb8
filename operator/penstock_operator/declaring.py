"""From a JobQueue to what the queue's row in the database says: the arguments of the store's `declare_queue`.

Pure. Must not know how a row is written. A queue whose policy stops it is paused in its row, so that no worker claims
from it, whoever runs that worker.
"""

from __future__ import annotations

from typing import Any

from penstock.scaling import QueuePolicy, StopPolicy
from penstock.settings import Settings


def declaration(policy: QueuePolicy, settings: Settings, *, uid: str, generation: int) -> dict[str, Any]:
    """Everything but the queue's name.

    Args:
        policy: of the queue.
        settings: of its workers.
        uid: of the JobQueue, which declares the queue.
        generation: of its spec; an older one of the same JobQueue changes nothing.
    """
    return {
        "declared_by": uid,
        "generation": generation,
        "paused": policy.stop_policy is not StopPolicy.NONE,
        "max_attempts": settings.max_attempts,
        "max_in_flight": policy.limits and policy.limits.max_in_flight,
        "retry": {
            "strategy": settings.backoff_strategy,
            "base_seconds": settings.backoff_base_seconds,
            "max_seconds": settings.backoff_max_seconds,
        },
        "job_deadline": settings.job_deadline_seconds or None,
        "retention": settings.retention_seconds,
    }
