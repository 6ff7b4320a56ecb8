"""What the people of a JobQueue read of a failure: the same for everything that is no answer of a Postgres server."""

from __future__ import annotations

import psycopg
import pytest

from penstock.errors import DatabaseUnavailable, MissingRights, RowLocked, StatementTimeout, StoreError
from penstock.store.errors import translate
from penstock_operator.database.failure_reasons import described_timeout, failure_condition
from penstock_operator.errors import DatabaseMisbehaves

SERVER = 'connection failed: connection to server at "10.0.0.7", port 5432 failed: '
NETWORK = [
    SERVER + "Connection refused",
    "failed to resolve host 'db.internal': [Errno -2] Name or service not known",
    "connection timeout expired",
    SERVER + "received invalid response to SSL negotiation: H",
    SERVER + "SSL error: certificate verify failed",
    SERVER + "server closed the connection unexpectedly",
    SERVER + "ERROR swordfish",
    SERVER + "Network is unreachable",
]


@pytest.mark.parametrize("text", NETWORK)
def test_whatever_the_network_says_reads_the_same(text: str):
    """A tenant who writes URLs learns nothing of names, ports and certificates; a mute server reads so as well."""
    error = translate(psycopg.OperationalError(text), "connect")
    assert failure_condition(error) == described_timeout(10.0, opened=False)
    assert failure_condition(error)[0] == "Unreachable"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('FATAL:  password authentication failed for user "x"', "AuthFailed"),
        ('FATAL:  database "x" does not exist', "NoSuchDatabase"),
        ("FATAL:  sorry, too many clients already", "TooManyConnections"),
        ('FATAL:  permission denied for database "x"', "MissingRights"),
    ],
)
def test_what_a_postgres_server_says_has_its_reason_and_no_address(text: str, reason: str):
    """The address that a name resolved to is the network's, not the tenant's."""
    found, sentence = failure_condition(translate(psycopg.OperationalError(SERVER + text), "connect"))
    assert found == reason
    assert "10.0.0.7" not in sentence


def test_other_failures_keep_their_sentence():
    """They come from the schema, or from the operator's own bounds."""
    assert failure_condition(MissingRights("run: GRANT a TO b;")) == ("MissingRights", "run: GRANT a TO b;")
    assert failure_condition(StoreError("sample: x")) == ("Unreachable", "sample: x")
    assert failure_condition(DatabaseMisbehaves("too much"))[0] == "DatabaseMisbehaves"
    assert described_timeout(10.0, opened=True)[0] == "Timeout"
    assert failure_condition(DatabaseUnavailable("waits: the connection was lost"))[0] == "Unreachable"


@pytest.mark.parametrize("error", [RowLocked("sample: the row is locked"), StatementTimeout("sample: canceled")])
def test_a_lock_that_somebody_holds_reads_like_an_answer_that_does_not_come(error: StoreError):
    """Every statement has a bound for its locks, which a sample meets before its own deadline."""
    reason, sentence = failure_condition(error)
    assert (reason, "did not answer within" in sentence, str(error) in sentence) == ("Timeout", True, True)
