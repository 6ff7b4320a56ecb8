"""Whatever a task returns, raises or is given, its attempt has an outcome: an attempt without one keeps its slot."""

from __future__ import annotations

import random
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from penstock import App, Backoff, Cancel, Retry, Snooze
from penstock.app.context import Context
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import TaskOutcome
from penstock.runtime.execution.attempt import Attempts
from penstock.runtime.execution.outcomes import AnyTask, OutcomeBuilder
from tests.unit.runtime.support import job


class Detached:
    """As an object of an ORM outside its session."""

    def __repr__(self) -> str:
        raise RuntimeError("not bound to a session")


class WordlessError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NotelessError(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class Other(TaskOutcome):
    """No outcome that there is."""


class Unmade(Retry):
    def __init__(self) -> None:
        """Without what Retry sets."""


@dataclass
class Choosy:
    number: int

    def __post_init__(self) -> None:
        raise KeyError(self.number)


def late() -> Retry:
    """A delay that Postgres has no interval for, set after the check."""
    asked = Retry(1)
    asked.delay = float("nan")
    return asked


class NoChildren:
    async def run(self, job: ClaimedJob, task: AnyTask) -> Finished:
        raise AssertionError(f"{job} runs in no child, nor does {task}")

    def interrupt(self, job: ClaimedJob) -> bool:
        del job
        return False


def attempts(app: App, threads: Executor) -> Attempts:
    return Attempts(
        tasks=app.tasks,
        context=lambda one: Context(job=one, client=app.client),
        threads=threads,
        children=NoChildren(),
        executor="async",
        outcomes=OutcomeBuilder(backoff=Backoff(), rng=random.Random(1)),
    )


async def attempted(end: Any, *, plain: bool) -> Finished:
    """What comes of a task that returns `end`, or raises it, on the event loop or in a thread."""
    app = App()

    def act() -> Any:
        if isinstance(end, BaseException):
            raise end
        return end

    @app.task(name="async")
    async def on_the_loop() -> Any:
        return act()

    app.task(name="thread")(act)
    with ThreadPoolExecutor(1) as threads:
        return await attempts(app, threads).run(job(task="thread" if plain else "async"))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        (Detached(), OutcomeState.FAILED, "unstorable_result"),
        (WordlessError(), OutcomeState.RETRY, "error"),
        (NotelessError(), OutcomeState.RETRY, "error"),
        (Other(), OutcomeState.RETRY, "error"),
        (Unmade(), OutcomeState.RETRY, "error"),
        (late(), OutcomeState.RETRY, "error"),
        (Cancel(ValueError("gone")), OutcomeState.CANCELLED, "gone"),  # type: ignore[arg-type]
        (Retry(1, reason=5), OutcomeState.RETRY, "5"),  # type: ignore[arg-type]
        (Snooze(1, reason=[]), OutcomeState.SNOOZE, "[]"),  # type: ignore[arg-type]
        (Cancel(WordlessError()), OutcomeState.CANCELLED, "<WordlessError without a text: SystemExit>"),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException | Detached) else "",
)
async def test_every_end_is_an_outcome(end, state, reason, plain):
    """Objects that cannot be shown, exceptions without a text, reasons that are no text, outcomes of another kind."""
    finished = await attempted(end, plain=plain)
    assert (finished.state, finished.reason) == (state, reason)


async def test_arguments_that_refuse_themselves_in_their_own_way_are_invalid():
    """The library turns a ValueError of `__post_init__` into its own error, and lets anything else through."""
    app = App()

    @app.task(name="work")
    async def work(one: Choosy) -> None:
        raise AssertionError(one)

    with ThreadPoolExecutor(1) as threads:
        finished = await attempts(app, threads).run(job(task="work", args='{"one": {"number": 1}}'))
    assert (finished.state, finished.reason) == (OutcomeState.FAILED, "invalid_arguments")
