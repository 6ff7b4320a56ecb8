"""Settings and errors of a database: the lists of the documents, and members that need no server."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from penstock import errors
from penstock.cli.doctor_checks import Level
from penstock.cli.doctor_settings_checks import of_settings
from penstock.store.errors import translate
from penstock.store.session_settings import SETTINGS, local, needs_transactions
from penstock.store.sqlstates import OURS, STATES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/database.md").read_text(encoding="utf-8")


def test_the_page_lists_every_setting_that_is_set():
    """In the table, by name."""
    rows = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    assert [one.name for one in SETTINGS if f"`{one.name}`" not in rows] == []


def test_the_page_lists_every_class_with_its_states():
    """One row for each, with what the caller does."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    missing = [
        (state, kind.__name__)
        for state, (kind, _) in {**STATES, **OURS}.items()
        if not any(f"`{kind.__name__}`" in row and re.search(rf"\b{state}\b", row) for row in rows)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40P01", errors.DeadlockDetected),
        ("40001", errors.SerializationFailure),
        ("40002", errors.TransactionRolledBack),
        ("40003", errors.TransactionRolledBack),
        ("55P03", errors.RowLocked),
        ("57014", errors.StatementTimeout),
        ("25P02", errors.TransactionAborted),
        ("25P03", errors.SessionTimedOut),
        ("25P04", errors.SessionTimedOut),
        ("57P05", errors.SessionTimedOut),
        ("25006", errors.ReadOnlyServer),
        ("53100", errors.DiskFull),
        ("53200", errors.OutOfResources),
        ("53400", errors.OutOfResources),
        ("53300", errors.TooManyConnections),
        ("57P01", errors.ServerShutdown),
        ("57P02", errors.ServerShutdown),
        ("57P03", errors.ServerShutdown),
        ("57P04", errors.NoSuchDatabase),
        ("3D000", errors.NoSuchDatabase),
        ("28P01", errors.LoginRefused),
        ("28000", errors.LoginRefused),
        ("58030", errors.ServerFault),
        ("XX001", errors.ServerFault),
        ("XX000", errors.ServerFault),
        ("08006", errors.DatabaseUnavailable),
        ("08P01", errors.DatabaseUnavailable),
        ("42501", errors.MissingRights),
        ("42601", errors.StatementRefused),
        ("22P05", errors.RejectedByDatabase),
        ("22021", errors.RejectedByDatabase),
        ("23505", errors.RejectedByDatabase),
        ("54000", errors.RejectedByDatabase),
        ("PN002", errors.UniqueConflict),
        ("0A000", errors.StoreError),
    ],
)
@pytest.mark.parametrize("language", ["the server's words", "des Servers Worte", "слова сервера"])
def test_the_state_decides_the_class_in_every_language(state, kind, language):
    """For psycopg's classes and those of any driver with an `sqlstate`; the server's words are kept."""
    for base in (psycopg.Error, psycopg.OperationalError, Exception):
        made = type("Made", (base,), {"sqlstate": state})(language)
        error = translate(made, "enqueue")
        assert type(error) is kind
        assert language in str(error)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('FATAL:  password authentication failed for user "shop"', errors.LoginRefused),
        ('FATAL:  database "shop" does not exist', errors.NoSuchDatabase),
        ("FATAL:  sorry, too many clients already", errors.TooManyConnections),
        ("FATAL:  the database system is starting up", errors.ServerShutdown),
        ("FATAL:  the database system is shutting down", errors.ServerShutdown),
        ("FATAL:  the database system is in recovery mode", errors.ServerShutdown),
        ("FATAL:  the database system is not yet accepting connections", errors.ServerShutdown),
        ("Connection refused", errors.DatabaseUnavailable),
    ],
)
def test_a_refusal_to_connect_has_its_class_by_words(words, kind):
    """The library gives no state there."""
    assert type(translate(psycopg.OperationalError(f"connection failed: {words}"), "connect")) is kind


def test_no_message_has_two_sentences_for_one_state():
    """Each state has a sentence of its own, but for members of one class."""
    sentences: dict[str, set[str]] = {}
    for kind, sentence in STATES.values():
        sentences.setdefault(sentence, set()).add(kind.__name__)
    assert [kinds for kinds in sentences.values() if len(kinds) > 1] == []


def found(encoding: str = "UTF8", **settings: str) -> dict[str, object]:
    return {"encoding": encoding, "settings": settings, "row_security": []}


@pytest.mark.parametrize(
    ("seen", "pooled", "check", "level", "named"),
    [
        (found(), False, "settings", Level.OK, "default values"),
        (found(DateStyle="German, DMY"), False, "settings", Level.OK, "DateStyle = German, DMY"),
        (found(DateStyle="German, DMY"), True, "settings", Level.WARNING, "two more round trips"),
        (found(idle_session_timeout="5 ms"), True, "settings", Level.OK, "do not apply to sessions of the pooler"),
        (found("SQL_ASCII"), False, "encoding", Level.WARNING, "does not validate text"),
        (found("LATIN1"), False, "encoding", Level.WARNING, "other characters are refused"),
        (found(session_replication_role="replica"), False, "triggers", Level.WARNING, "do not fire"),
        (found(lc_messages="de_DE.UTF-8"), False, "messages", Level.WARNING, "de_DE.UTF-8"),
        ({**found(), "row_security": ["job"]}, False, "row security", Level.WARNING, "job"),
    ],
)
def test_the_doctor_names_what_is_unusual(seen, pooled, check, level, named):
    """A warning where an ordinary login cannot set it, or pays for it with each statement."""
    [finding] = [one for one in of_settings(seen, login="shop", pooled=pooled) if one.check == check]
    assert finding.level is level
    assert named in finding.message
    assert bool(finding.hint) is (level is Level.WARNING)


@pytest.mark.parametrize("messages", ["C", "", "POSIX", "C.UTF-8", "en_US.UTF-8", "en_GB"])
def test_messages_in_english_are_no_finding(messages):
    """In whatever spelling."""
    checks = [one.check for one in of_settings(found(lc_messages=messages), login="shop", pooled=False)]
    assert checks == ["encoding", "settings"]


def test_a_transaction_brings_along_only_what_differs():
    """And nothing where nothing does."""
    assert local([]) == local(["idle_session_timeout"]) == b""
    assert local(["DateStyle"]) == b"SELECT set_config('DateStyle', 'ISO', true)"
    assert not needs_transactions(["idle_session_timeout"])
    assert needs_transactions(["default_transaction_isolation"])


def test_the_files_of_sql_are_ascii():
    """A migration is sent to databases of every encoding, comments and all."""
    folder = ROOT / "worker/penstock/store"
    assert [str(one) for one in folder.rglob("*.sql") if not one.read_text(encoding="utf-8").isascii()] == []
