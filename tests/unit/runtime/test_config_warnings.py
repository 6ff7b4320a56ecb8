"""What a worker is configured with and the queue's row does not say is named: it does nothing."""

from __future__ import annotations

import pytest

from penstock.runtime.config_warnings import settings_differences
from penstock.settings import Settings
from tests.unit.jobqueue.queue_samples import queue_row

ROW = queue_row(declared_by="a JobQueue")


def settings(**values: float) -> Settings:
    return Settings(queue="q", **values)  # type: ignore[arg-type] # numbers of both kinds


def test_what_is_declared_alike_or_left_at_its_default_is_no_difference():
    """As in a pod of the operator, and as on a laptop."""
    assert settings_differences(settings(), [ROW]) == []
    assert settings_differences(settings(), []) == []
    same = ROW._replace(job_deadline=60.0, max_attempts=7, retention=3600.0)
    assert settings_differences(settings(job_deadline_seconds=60, max_attempts=7, retention_seconds=3600), [same]) == []


@pytest.mark.parametrize(
    ("rows", "declared"),
    [
        ([ROW._replace(job_deadline=30.0)], 30.0),
        ([ROW], 0.0),
        ([ROW._replace(declared_by=None)], None),
        ([ROW._replace(name="other", job_deadline=60.0)], None),
    ],
)
def test_a_deadline_that_the_row_does_not_have_is_named(rows, declared):
    """With its variable, its value here, and the value in the row; None if the queue is not declared."""
    assert settings_differences(settings(job_deadline_seconds=60), rows) == [
        {"setting": "PENSTOCK_JOB_DEADLINE_SECONDS", "value": 60, "queue": "q", "declared": declared}
    ]
