"""Assertions about what was enqueued: what they accept, and the sentence with which they fail."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from penstock import App, Unique
from penstock.testing import Collected

app = App()


@app.task(name="mail", queue="emails")
async def mail(user: int, kind: str = "welcome") -> None: ...


@app.task(name="tidy")
def tidy() -> None: ...


@pytest.fixture
def collected() -> Collected:
    with app.test_mode() as jobs:
        mail.enqueue(1)
        mail.options(delay=timedelta(minutes=1), priority=0, headers={"shop": "north"}).enqueue(2, kind="bill")
        mail.enqueue(1, kind="welcome")
        return jobs


def test_a_job_is_expected_as_it_is_made(collected: Collected):
    """Given by position or by name is the same; a default that nobody gave is neither in the job nor expected."""
    assert collected.assert_enqueued(mail.job(1)) == [collected[0]]
    assert collected.assert_enqueued(mail.job(user=1, kind="welcome"), times=1) == [collected[2]]
    assert collected.assert_enqueued(mail.job(2, "bill")) == [collected[1]]
    assert len(collected.assert_enqueued(mail)) == 3
    collected.assert_not_enqueued(tidy)
    collected.assert_not_enqueued(mail.job(3))


def test_options_that_are_named_must_be_equal(collected: Collected):
    """In the expected job or next to it; those left at a job's default are not compared."""
    collected.assert_enqueued(mail.options(delay=60, priority=0).job(2, "bill"))
    collected.assert_enqueued(mail, times=1, delay=60, headers={"shop": "north"})
    collected.assert_not_enqueued(mail.options(delay=61).job(2, "bill"))
    collected.assert_not_enqueued(mail.options(unique=Unique(key="a")).job(1))
    collected.assert_not_enqueued(mail, queue="default")
    collected.assert_enqueued(mail, queue="emails", times=3)


def test_a_failure_shows_what_was_enqueued_instead(collected: Collected):
    """The jobs of the same task, with their options; or all, if there are none; and no more than ten."""
    with pytest.raises(AssertionError) as raised:
        collected.assert_enqueued(mail.job(7))
    assert str(raised.value).splitlines()[0] == ("expected mail {\"user\":7} queue='emails'; enqueued were:")
    assert "priority=0 delay=60.0" in str(raised.value)
    with pytest.raises(AssertionError, match=r"^enqueued 1 of 2: expected mail"):
        collected.assert_enqueued(mail.job(1), times=2)
    with pytest.raises(AssertionError, match="expected any tidy with queue='x'; enqueued were:\n  mail"):
        collected.assert_enqueued(tidy, queue="x")
    with pytest.raises(AssertionError, match="expected nothing to be enqueued; enqueued were:\n  mail"):
        collected.assert_not_enqueued()
    with app.test_mode() as empty:
        empty.assert_not_enqueued()
        with pytest.raises(AssertionError, match="expected any tidy; nothing was enqueued"):
            empty.assert_enqueued(tidy)
        app.enqueue_many(mail.job(user) for user in range(12))
        with pytest.raises(AssertionError, match=r"and 2 more$"):
            empty.assert_not_enqueued(mail)


def test_an_option_that_does_not_exist_is_an_error_of_the_test(collected: Collected):
    """Not one more job that is never found."""
    with pytest.raises(TypeError, match=r"compares queue, priority, .*; got quue"):
        collected.assert_not_enqueued(mail, quue="emails")


USERS_TESTS = """
from penstock import JobState
from jobs import app, mail

def test_passes(assert_enqueued, assert_not_enqueued, enqueued, penstock_app):
    assert penstock_app is app
    assert_not_enqueued()
    handle = mail.enqueue(7)
    assert_enqueued(mail.job(7))
    [run] = penstock_app.run_inline()
    assert (run.result, handle.status(), len(enqueued)) == ("mailed 7", JobState.COMPLETED, 1)

def test_starts_empty(assert_not_enqueued):
    assert_not_enqueued()

def test_fails(assert_enqueued):
    mail.enqueue(7)
    assert_enqueued(mail.job(8))
"""


def users_run(folder: Path, *options: str) -> str:
    """What pytest prints in a user's project."""
    (folder / "jobs.py").write_text(
        "from penstock import App\napp = App()\n\n@app.task\ndef mail(user: int) -> str:\n    return f'mailed {user}'\n"
    )
    (folder / "test_it.py").write_text(USERS_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    run = subprocess.run([*command, "test_it.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def test_the_fixtures_are_there_wherever_penstock_is_installed(tmp_path: Path):
    """In a project of its own, with one line of configuration; every test starts with nothing enqueued."""
    said = users_run(tmp_path, "-o", "penstock_app=jobs:app", "-o", "pythonpath=.")
    assert "1 failed, 2 passed" in said
    assert "expected jobs:mail {" in said


def test_without_its_line_of_configuration_a_fixture_says_which(tmp_path: Path):
    """And how else."""
    said = users_run(tmp_path, "-o", "pythonpath=.", "-k", "starts_empty")
    assert "set penstock_app" in said
