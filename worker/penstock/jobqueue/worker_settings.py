"""Converts the policy of a JobQueue to settings of its workers and the declaration of its queue. Pure.

The operator and the local mode both take it from here, which is why a manifest means the same in both.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, cast

from penstock.backoff import DEFAULT_BASE_SECONDS, StrategyName
from penstock.settings import Settings

from .declaration import QueueDeclaration
from .policy import QueuePolicy, StopPolicy
from .spec_part import settings_of

_PATHS: Final[Mapping[str, Sequence[str]]] = dict(settings_of(QueuePolicy))
_DEFAULTS: Final[Mapping[str, object]] = {one.name: one.default for one in fields(Settings)}
FROM_POLICY: Final = frozenset(_PATHS) | {"min_demand", "max_demand", "backoff_base_seconds"}
"""Names of the settings that follow from a JobQueue; a test holds `worker_settings` to it."""


def worker_settings(policy: QueuePolicy, *, base: Settings, **changes: Any) -> Settings:
    """The settings of the workers of a queue.

    Args:
        policy: of the queue.
        base: what a manifest does not say: lease, polling, logs, URLs.
        changes: fields that follow neither from the policy nor from the base.
    """
    values = {name: _value(policy, path, name) for name, path in _PATHS.items()}
    return replace(base, **{**values, **_derived(policy), **changes})


def _value(policy: QueuePolicy, path: Sequence[str], name: str) -> object:
    """The value at a path, as the setting has it: a word of an enum in lower case, seconds as float."""
    value: Any = policy
    for part in path:
        value = getattr(value, part, None)
    if value is None:
        return _DEFAULTS[name]
    if isinstance(value, enum.Enum):
        return str(value.value).lower()
    return float(value) if isinstance(_DEFAULTS[name], float) else value


def _derived(policy: QueuePolicy) -> dict[str, object]:
    """Settings whose default follows from other fields."""
    backoff = policy.retry.backoff
    strategy = cast("StrategyName", backoff.strategy.value.lower())
    base = min(DEFAULT_BASE_SECONDS[strategy], backoff.max_seconds)
    derived: dict[str, object] = {
        "min_demand": policy.worker.asks_again_at,
        "max_demand": policy.worker.holds_at_most,
        "backoff_base_seconds": float(base if backoff.base_seconds is None else backoff.base_seconds),
    }
    return derived if policy.circuit_breaker else {**derived, "circuit_failure_percent": 0}


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
