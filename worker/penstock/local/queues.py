"""From a JobQueue's policy to what a worker process is told and what the queue's row says. Pure.

The operator does the same for pods; both end in `Settings.to_env()`, which is why a manifest means the same in both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from penstock.backoff import DEFAULT_BASE_SECONDS

if TYPE_CHECKING:
    from penstock.backoff import Strategy
    from penstock.scaling import QueuePolicy
    from penstock.settings import ExecutorName, Settings

DECLARED_BY = "local"
"""What `queue.declared_by` says of queues that `penstock dev` declared."""


def settings_of(policy: QueuePolicy, *, base: Settings, database_url: str) -> Settings:
    """What the workers of this queue are told.

    Args:
        policy: of the queue.
        base: what the manifest does not say: lease, polling, logs. From our own environment.
        database_url: direct; the same serves for LISTEN.
    """
    worker, backoff = policy.worker, policy.retry.backoff
    strategy = cast("Strategy", backoff.strategy.value.lower())  # the same words, in another case
    default = min(DEFAULT_BASE_SECONDS[strategy], backoff.max_seconds)
    return replace(
        base,
        database_url=database_url,
        direct_url=database_url,
        app=worker.app,
        queue=policy.queue_name,
        concurrency=worker.concurrency,
        min_demand=worker.asks_again_at,
        max_demand=worker.holds_at_most,
        executor=cast("ExecutorName", worker.executor.value.lower()),
        drain_timeout_seconds=float(worker.drain_timeout_seconds),
        max_attempts=policy.retry.max_attempts,
        backoff_strategy=strategy,
        backoff_base_seconds=float(default if backoff.base_seconds is None else backoff.base_seconds),
        backoff_max_seconds=float(backoff.max_seconds),
        job_deadline_seconds=float(policy.job_deadline_seconds or 0),
        retention_seconds=float(policy.retention_seconds),
    )


def declaration_of(policy: QueuePolicy, settings: Settings, *, generation: int) -> dict[str, Any]:
    """Arguments of `Store.declare_queue`.

    Args:
        policy: of the queue.
        settings: of its workers, from `settings_of`.
        generation: larger than that of an earlier declaration; seconds since the epoch will do.
    """
    return {
        "name": policy.queue_name,
        "declared_by": DECLARED_BY,
        "generation": generation,
        "paused": policy.stop_policy.value != "None",
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
