"""The reason of a pod whose worker could not use its database."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from penstock.errors import InvalidDatabaseURL, PenstockError, SchemaMismatch, SchemaMissing
from penstock.store.errors import check_url, translate
from penstock_operator.database.failure_reasons import reason_of
from penstock_operator.resources.last_error import database_reason
from tests.unit.operator_parts.objects import pod


def of_state(kind: type[psycopg.Error], text: str) -> PenstockError:
    return translate(kind(text), "connect")


def malformed() -> PenstockError:
    with pytest.raises(InvalidDatabaseURL) as raised:
        check_url("x")
    return raised.value


ERRORS = [
    of_state(psycopg.OperationalError, 'connection failed: FATAL:  password authentication failed for user "shop"'),
    of_state(psycopg.OperationalError, 'FATAL:  role "shop" is not permitted to log in'),
    of_state(psycopg.OperationalError, 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "shop"'),
    of_state(psycopg.OperationalError, 'FATAL:  database "shop" does not exist'),
    of_state(psycopg.OperationalError, 'FATAL:  too many connections for role "shop"'),
    of_state(psycopg.OperationalError, 'FATAL:  permission denied for database "shop"'),
    of_state(psycopg.errors.InsufficientPrivilege, "permission denied for function claim"),
    of_state(psycopg.errors.ReadOnlySqlTransaction, "cannot execute INSERT in a read-only transaction"),
    of_state(psycopg.errors.InvalidSchemaName, 'schema "penstock" does not exist'),
    SchemaMissing("schema penstock: not in this database; run `penstock migrate`"),
    SchemaMismatch("schema penstock: version 3 is older than 4, which this release needs; run `penstock migrate`"),
    malformed(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:40])
def test_a_worker_that_ends_with_an_error_of_its_database_has_the_operators_reason_for_it(error: PenstockError):
    """The same word in both conditions, whichever part met the error."""
    assert database_reason(f"INFO started\npenstock: {error}\n") == reason_of(error)


def test_a_database_that_is_away_is_reported_and_other_ends_are_not():
    """A word of the application's own is no error of the database."""
    away = of_state(psycopg.OperationalError, "connection refused")
    assert database_reason(f"penstock: {away}") == "DatabaseUnreachable"
    for text in ("", "Traceback\nKeyError: 'login'", "penstock: app must be package.module:attribute"):
        assert database_reason(text) is None


def crashed(container: str, message: str) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    one = {"name": container, "restartCount": 4, "state": waiting, "lastState": ended}
    return {"phase": "Running", "conditions": [], "containerStatuses": [one]}


def test_a_pod_in_a_crash_loop_for_its_password_is_auth_failed_with_the_last_message():
    """Of the worker alone: a sidecar's words are about a database of its own."""
    said = f"penstock: {ERRORS[0]}"
    problem = pod("a", ready=False, status=crashed("worker", said)).problem
    assert problem is not None
    assert problem[0] == "AuthFailed"
    assert "the server refused the login" in problem[1]
    other = pod("a", ready=False, status=crashed("proxy", said)).problem
    assert other is not None
    assert other[0] == "CrashLoop"


def test_a_worker_that_waits_for_its_database_after_it_ended_has_the_reason_too():
    """It has started and lives, so nothing but its last end says why it is not ready; once ready it is history."""
    status = crashed("worker", f"penstock: {ERRORS[0]}")
    status["containerStatuses"][0] |= {"state": {"running": {}}, "started": True, "restartCount": 1}
    problem = pod("a", ready=False, status=status).problem
    assert problem is not None
    assert problem[0] == "AuthFailed"
    status["containerStatuses"][0]["ready"] = True
    assert pod("a", status=status).problem is None
