"""From how an attempt went to what is stored: pure, so every branch is a line."""

from __future__ import annotations

import json
import random

import pytest

from penstock import NEVER, App, Backoff, Cancel, Retry, Snooze
from penstock.errors import InvalidArguments, PartitionMissing
from penstock.job import OutcomeState
from penstock.runtime.execution.outcomes import MAX_TRACEBACK, OutcomeBuilder, error_json, fit
from tests.unit.runtime.support import job

CONSTANT = Backoff(strategy="constant", base_seconds=3)


@pytest.fixture
def outcomes() -> OutcomeBuilder:
    return OutcomeBuilder(backoff=CONSTANT, rng=random.Random(1))


@pytest.fixture
def task():
    app = App()

    @app.task(name="work", retry={LookupError: Backoff(strategy="linear", base_seconds=10), ValueError: NEVER})
    def work() -> None:
        """Nothing."""

    return work


def test_an_error_is_retried_after_the_back_off(outcomes, task):
    """With attempts left: deferred by the policy's delay."""
    finished = outcomes.for_error(job(attempt=2), task, RuntimeError("no"), 0.5)
    assert (finished.state, finished.delay, finished.reason) == (OutcomeState.RETRY, 3, "error")


def test_an_attempt_whose_transaction_met_no_partition_does_not_count(outcomes, task):
    """The last attempt neither: nothing is wrong with it, and the partition is there at the next."""
    finished = outcomes.for_error(job(attempt=5), task, PartitionMissing("no partition"), 0.5)
    assert (finished.state, finished.delay, finished.reason) == (OutcomeState.SNOOZE, 1, "no_partition")


def test_the_last_attempt_makes_a_dead_letter(outcomes, task):
    """No attempts left: failed, exhausted, with the error."""
    finished = outcomes.for_error(job(attempt=5), task, RuntimeError("no"), 0.5)
    assert (finished.state, finished.reason) == (OutcomeState.FAILED, "exhausted")
    assert json.loads(finished.error)["message"] == "no"


def test_the_tasks_policy_for_the_nearest_class_wins(outcomes, task):
    """KeyError is a LookupError: linear, ten seconds times the attempt."""
    assert outcomes.for_error(job(attempt=3), task, KeyError("k"), 0).delay == 30


def test_a_failure_that_is_never_retried_is_a_dead_letter_at_once(outcomes, task):
    """Whatever attempts are left."""
    finished = outcomes.for_error(job(attempt=1), task, ValueError("bad"), 0)
    assert (finished.state, finished.reason) == (OutcomeState.FAILED, "non_retryable")


def test_a_timeout_says_so(outcomes, task):
    """The reason distinguishes a timeout from an error."""
    assert outcomes.for_error(job(), task, TimeoutError(), 0).reason == "timeout"


@pytest.mark.parametrize(
    ("outcome", "state", "delay", "reason"),
    [
        (Retry(delay=9), OutcomeState.RETRY, 9, "asked"),
        (Retry(), OutcomeState.RETRY, 3, "asked"),
        (Snooze(60, "rate"), OutcomeState.SNOOZE, 60, "rate"),
        (Cancel("gone"), OutcomeState.CANCELLED, 0, "gone"),
    ],
    ids=str,
)
def test_what_the_task_says_is_what_is_stored(outcomes, outcome, state, delay, reason):
    """Returned or raised, the same."""
    finished = outcomes.for_outcome(job(), outcome, 0)
    assert (finished.state, finished.delay, finished.reason) == (state, delay, reason)


def test_a_retry_asked_for_at_the_last_attempt_is_a_dead_letter(outcomes):
    """A task cannot retry itself for ever."""
    assert outcomes.for_outcome(job(attempt=5), Retry(1), 0).state is OutcomeState.FAILED


def test_an_unknown_task_is_put_off_and_costs_no_attempt(outcomes):
    """Half a minute or so; perhaps the next version knows it."""
    finished = outcomes.for_unknown_task(job())
    assert (finished.state, finished.reason) == (OutcomeState.SNOOZE, "task_unknown")
    assert 22 < finished.delay < 38


def test_arguments_of_another_release_are_put_off_and_cost_no_attempt():
    """Half a minute or so; the error says how long the database lets it wait."""
    outcomes = OutcomeBuilder(backoff=CONSTANT, rng=random.Random(1), incompatible_seconds=90)
    finished = outcomes.for_invalid_arguments(job(), InvalidArguments("no"))
    assert (finished.state, finished.reason) == (OutcomeState.SNOOZE, "incompatible_arguments")
    assert 22 < finished.delay < 38
    assert finished.error is not None
    assert json.loads(finished.error)["wait_seconds"] == 90


@pytest.mark.parametrize("args", ["[1]", '"text"', "7", "null"])
def test_what_is_no_object_fits_no_release_and_is_a_dead_letter_at_once(outcomes, args):
    """Arguments are an object whatever the task."""
    finished = outcomes.for_invalid_arguments(job(args=args), InvalidArguments("no"))
    assert (finished.state, finished.reason) == (OutcomeState.FAILED, "invalid_arguments")


def test_text_of_an_error_is_made_fit_for_the_database():
    """NUL and lone surrogates are replaced, length is bounded, the end of a traceback is kept."""
    assert fit("a\0b\ud800c", 10) == "a\ufffdb?c"
    assert fit("0123456789", 5) == "…6789"
    record = json.loads(error_json(ValueError("\0" * 3 + "x" * 50_000), 2))
    assert record["attempt"] == 2
    assert record["type"] == "builtins.ValueError"
    assert "\0" not in record["message"]
    assert len(record["traceback"]) <= MAX_TRACEBACK


def test_an_exception_that_cannot_be_shown_is_still_described():
    """A task's exception may break in its own __str__."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("worse")

    assert "RuntimeError" in json.loads(error_json(BrokenError(), 1))["message"]
