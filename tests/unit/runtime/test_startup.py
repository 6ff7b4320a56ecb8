"""The wait of a worker that starts: which errors are waited for, for how long, and what ends it."""

from __future__ import annotations

import os
import random
import signal
import threading

import pytest

from penstock.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InvalidDatabaseURL,
    LoginRefused,
    MissingRights,
    NoSuchDatabase,
    ReadOnlyServer,
    SchemaMismatch,
    SchemaMissing,
    StatementRefused,
    StoreError,
    TooManyConnections,
)
from penstock.runtime.startup import Startup
from penstock.settings import Settings
from tests.support.controlplane import free_ports
from tests.support.pages import page
from tests.support.waiting import eventually


class Database:
    """Fails a given number of times, then passes; or until the test says otherwise."""

    def __init__(self, *errors: Exception, forever: Exception | None = None) -> None:
        self.errors, self.forever, self.asked = list(errors), forever, 0

    def __call__(self) -> None:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        if self.forever is not None:
            raise self.forever


class Impatient(random.Random):
    """Always the shortest retry_delay."""

    def uniform(self, a: float, b: float) -> float:
        """The lower end."""
        assert b >= a
        return a


def startup(database: Database, *, patience: float = 60.0) -> tuple[Startup, int]:
    """One with pages on a free port, which is the second."""
    (port,) = free_ports(1)
    settings = Settings(database_url="postgresql://x", queue="q", http_port=port)
    return Startup(database, settings, patience=patience, rng=Impatient()), port


def test_a_database_that_is_there_is_asked_once_and_nothing_is_served():
    """The usual start costs one thread."""
    database = Database()
    made, port = startup(database)
    assert made.wait()
    assert (database.asked, page(port, "/healthz")) == (1, (0, ""))


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailable("connection refused"),
        DatabaseUnavailable("the database system is starting up"),
        DatabaseUnavailable("failed to resolve host"),
        TooManyConnections("too many clients already"),
        ReadOnlyServer("a standby"),
        SchemaMissing("run `penstock migrate`"),
        SchemaMismatch("version 1 is older"),
        LoginRefused("password authentication failed"),
        NoSuchDatabase("no such database"),
        StoreError("the server is shutting down"),
    ],
)
def test_what_may_pass_is_waited_for(error: StoreError):
    """Three times in a row, then the worker starts."""
    database = Database(error, error, error)
    assert startup(database)[0].wait()
    assert database.asked == 4


@pytest.mark.parametrize(
    "error", [InvalidDatabaseURL("does not parse"), StatementRefused("a type"), MissingRights("GRANT …")]
)
def test_what_no_wait_mends_ends_the_start_at_once(error: StoreError):
    """With the error that says what helps."""
    database = Database(forever=error)
    with pytest.raises(type(error)):
        startup(database)[0].wait()
    assert database.asked == 1


@pytest.mark.parametrize("error", [LoginRefused("password authentication failed"), NoSuchDatabase("no such database")])
def test_a_refusal_that_lasts_ends_the_start_so_that_the_secret_is_read_again(error: StoreError):
    """A container's environment is as old as the container."""
    database = Database(forever=error)
    with pytest.raises(type(error)):
        startup(database, patience=0.1)[0].wait()
    assert database.asked > 1


def test_an_error_that_nobody_expected_is_raised():
    """As it was before there was a wait."""
    with pytest.raises(ZeroDivisionError):
        startup(Database(ZeroDivisionError()))[0].wait()


def test_pages_say_that_it_lives_and_why_it_is_not_ready():
    """While it waits, on the worker's own port; afterwards the port is free for the worker."""
    database = Database(forever=DatabaseUnavailable("connection refused"))
    made, port = startup(database)
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(made.wait()))
    thread.start()
    try:
        eventually(lambda: page(port, "/healthz") == (200, "ok\n"), "it lives")
        eventually(
            lambda: page(port, "/readyz") == (503, "waiting for the database: connection refused\n"), "it says so"
        )
        assert page(port, "/metrics")[0] == 200
    finally:
        database.forever = None
        thread.join(60)
    assert done == [True]
    assert page(port, "/healthz") == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_though_the_server_is_silent(number: signal.Signals):
    """The call of the database hangs, and nobody waits for it; handlers are as before."""
    asked, hangs = threading.Event(), threading.Event()

    def silent() -> None:
        asked.set()
        hangs.wait(60)

    def send() -> None:
        asked.wait(60)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert not Startup(silent, Settings(database_url="postgresql://x", queue="q", http_port=0)).wait()
    finally:
        hangs.set()
        sender.join()
    assert signal.getsignal(number) is before


def test_a_port_that_is_taken_is_one_error_while_it_waits_too():
    """As it would be for the worker itself."""
    database = Database(forever=DatabaseUnavailable("connection refused"))
    first, port = startup(database)
    other = Startup(database, Settings(database_url="postgresql://x", queue="q", http_port=port))
    thread = threading.Thread(target=first.wait)
    thread.start()
    try:
        eventually(lambda: page(port, "/healthz")[0] == 200, "the first serves")
        with pytest.raises(ConfigurationError, match=f":{port}"):
            other.wait()
    finally:
        database.forever = None
        thread.join(60)
