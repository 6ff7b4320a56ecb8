"""What a JobQueue's policy tells others: its workers, as Settings, and the queue's row, as a declaration. Pure.

The operator and the local mode both take it from here, which is why a manifest means the same in both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from penstock.backoff import DEFAULT_BASE_SECONDS, Strategy
from penstock.settings import ExecutorName, Settings

from .declaration import QueueDeclaration
from .policy import CircuitBreaker, QueuePolicy, StopPolicy


def worker_settings(policy: QueuePolicy, *, base: Settings, **changes: Any) -> Settings:
    """What the workers of a queue are told.

    Args:
        policy: of the queue.
        base: what a manifest does not say: lease, polling, logs, URLs.
        changes: fields that follow neither from the policy nor from the base.
    """
    worker, backoff = policy.worker, policy.retry.backoff
    strategy = cast("Strategy", backoff.strategy.value.lower())  # the same words, in another case
    default = min(DEFAULT_BASE_SECONDS[strategy], backoff.max_seconds)
    values = {
        "app": worker.app,
        "queue": policy.queue_name,
        "concurrency": worker.concurrency,
        "min_demand": worker.asks_again_at,
        "max_demand": worker.holds_at_most,
        "executor": cast("ExecutorName", worker.executor.value.lower()),
        "drain_timeout_seconds": float(worker.drain_timeout_seconds),
        "max_attempts": policy.retry.max_attempts,
        "backoff_strategy": strategy,
        "backoff_base_seconds": float(default if backoff.base_seconds is None else backoff.base_seconds),
        "backoff_max_seconds": float(backoff.max_seconds),
        **_circuit(policy.circuit_breaker),
        "job_deadline_seconds": float(policy.job_deadline_seconds or 0),
        "retention_seconds": float(policy.retention_seconds),
    }
    return replace(base, **{**values, **changes})


def _circuit(breaker: CircuitBreaker | None) -> dict[str, float]:
    if breaker is None:
        return {"circuit_failure_percent": 0}
    return {
        "circuit_failure_percent": breaker.failure_percent,
        "circuit_minimum_calls": breaker.minimum_calls,
        "circuit_window_seconds": float(breaker.window_seconds),
        "circuit_open_seconds": float(breaker.open_seconds),
    }


def declaration(policy: QueuePolicy, settings: Settings, *, declared_by: str, generation: int) -> QueueDeclaration:
    """The declaration of a JobQueue's queue.

    Args:
        policy: of the queue.
        settings: of its workers, from `worker_settings`.
        declared_by: a JobQueue's uid, or `local`.
        generation: of the JobQueue; seconds since 1970 for `penstock dev`.
    """
    return QueueDeclaration(
        declared_by=declared_by,
        generation=generation,
        paused=policy.stop_policy is not StopPolicy.NONE,
        max_attempts=settings.max_attempts,
        max_in_flight=policy.limits.max_in_flight if policy.limits else None,
        retry={
            "strategy": settings.backoff_strategy,
            "base_seconds": settings.backoff_base_seconds,
            "max_seconds": settings.backoff_max_seconds,
        },
        job_deadline=settings.job_deadline_seconds or None,
        retention=settings.retention_seconds,
    )
