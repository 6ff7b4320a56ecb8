"""`Unique`: its rules, and its keeping without a database."""

from __future__ import annotations

import pytest

from penstock import App, Unique
from penstock.errors import ConfigurationError, UniqueConflict


@pytest.fixture
def app() -> App:
    app = App()

    @app.task(name="sync")
    def sync(user: int) -> int:
        return user

    return app


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"key": "k", "by_args": True},
        {"key": ""},
        {"key": "x" * 201},
        {"key": "a\0b"},
        {"key": "k", "until": "later"},
        {"key": "k", "on_conflict": "replace"},
        {"key": "k", "expires": -1},
        {"key": "k", "expires": "soon"},
    ],
    ids=str,
)
def test_a_rule_that_is_broken_is_named(options):
    """One ConfigurationError, when the option is written down."""
    with pytest.raises(ConfigurationError, match="unique"):
        Unique(**options)


def test_something_else_than_a_unique_is_refused(app):
    """A text is not taken for a key."""
    with pytest.raises(ConfigurationError, match="must be a Unique"):
        app.tasks["sync"].options(unique="key")


def test_the_key_is_of_the_task_and_by_arguments_of_their_values(app):
    """Spelling of the call does not matter; the value does; nor do two tasks share a key."""
    task = app.tasks["sync"]
    unique = task.options(unique=Unique(by_args=True))
    assert unique.job(1).unique == unique.job(user=1).unique
    assert unique.job(1).unique != unique.job(2).unique
    assert task.options(unique=Unique(key="u:1")).job(1).unique.key == "sync:u:1"


def test_test_mode_keeps_unique_keys_as_the_store_does(app):
    """The holder's id while it has not run, a new id afterwards; raise raises; a cancelled one gives it up."""
    once = app.tasks["sync"].options(unique=Unique(key="k"))
    with app.test_mode() as jobs:
        first = once.enqueue(1)
        assert once.enqueue(2).id == first.id
        with pytest.raises(UniqueConflict):
            app.tasks["sync"].options(unique=Unique(key="k", on_conflict="raise")).enqueue(3)
        app.run_inline()
        second = once.enqueue(4)
        assert second.id != first.id
        assert second.cancel()
        assert not second.cancel()
        assert once.enqueue(5).id != second.id
        assert len(jobs) == 3
