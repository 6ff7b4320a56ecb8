"""The settings of a JobQueue's circuit breaker in a pod's environment, written and read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from penstock.jobqueue.policy import parse_policy
from penstock.jobqueue.worker_settings import FROM_POLICY, worker_settings
from penstock.settings import Settings
from tests.unit.jobqueue.examples import manifest

BASE = Settings(database_url="postgresql://x")


def settings_with(breaker: dict[str, Any] | None) -> Settings:
    made = manifest()
    if breaker is not None:
        made["spec"]["circuitBreaker"] = breaker
    settings = worker_settings(parse_policy(made), base=BASE)
    assert Settings.from_env(settings.to_env()) == settings
    return settings


@pytest.mark.parametrize(
    ("breaker", "expected"),
    [
        ({}, (50, 20, 60.0, 30.0)),
        ({"failurePercent": 5, "minimumCalls": 1, "windowSeconds": 7, "openSeconds": 9}, (5, 1, 7.0, 9.0)),
    ],
)
def test_a_breaker_reaches_the_worker(breaker, expected):
    """Defaults are the definition's."""
    settings = settings_with(breaker)
    assert expected == (
        settings.circuit_failure_percent,
        settings.circuit_minimum_calls,
        settings.circuit_window_seconds,
        settings.circuit_open_seconds,
    )


def test_a_queue_without_a_breaker_has_none():
    """Whatever the base says: a manifest means the same everywhere."""
    assert settings_with(None).circuit_failure_percent == 0


def test_the_settings_that_follow_from_a_jobqueue_are_listed():
    """The operator gives a pod these variables and no other setting."""
    base = Settings(
        app="other:app",
        queue="other",
        concurrency=77,
        min_demand=11,
        max_demand=99,
        executor="thread",
        drain_timeout_seconds=1.5,
        max_attempts=999,
        backoff_strategy="constant",
        backoff_base_seconds=1.5,
        backoff_max_seconds=1.5,
        circuit_failure_percent=99,
        circuit_minimum_calls=9999,
        circuit_window_seconds=1.5,
        circuit_open_seconds=1.5,
        job_deadline_seconds=1.5,
        retention_seconds=61.5,
    )
    made = manifest(circuitBreaker={})
    settings = worker_settings(parse_policy(made), base=base)
    changed = {one.name for one in fields(Settings) if getattr(settings, one.name) != getattr(base, one.name)}
    assert changed == FROM_POLICY
