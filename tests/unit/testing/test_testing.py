"""Jobs without a database: collected in test mode, run in this process."""

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from penstock import NEVER, App, Cancel, Context, JobState, NewJob, PenstockError, Retry, Snooze
from penstock.errors import ConfigurationError, InvalidArguments, ResultTimeout, UnencodableResult, UnknownTask
from penstock.job import OutcomeState


@pytest.fixture
def app() -> App:
    return App()


def test_test_mode_collects_what_is_enqueued(app: App):
    """Checked and encoded as ever, written nowhere; the client is back afterwards."""

    @app.task(queue="emails")
    async def welcome(user: int) -> None: ...

    before = app.client
    with app.test_mode() as collected:
        assert welcome.enqueue(1).id == 1
        assert app.enqueue_many([welcome.job(2), welcome.options(delay=60).job(3)]) == [2, 3]
        with pytest.raises(InvalidArguments):
            welcome.enqueue("x")  # type: ignore[arg-type]
        assert [job.queue for job in collected] == ["emails"] * 3
        assert collected.arguments(welcome) == [{"user": 1}, {"user": 2}, {"user": 3}]
        assert len(collected) == 3
        assert collected[2].delay == 60
        assert [app.job(n).status() for n in (1, 3)] == [JobState.QUEUED, JobState.SCHEDULED]
        with pytest.raises(ResultTimeout):
            app.job(1).result(timeout=0)
    assert app.client is before


def test_collected_jobs_run_in_this_process_and_thread(app: App):
    """Plain and async functions, with their results in the handles; and the jobs that they enqueue."""
    ran: list[object] = []

    @app.task
    def plain(ctx: Context, number: int) -> int:
        ran.append(threading.current_thread())
        ctx.enqueue(later.job(number + 1))
        return number

    @app.task
    async def later(ctx: Context, number: int) -> str:
        ran.append((ctx.attempt, ctx.cancelled, ctx.job.task))
        if number < 5:
            await ctx.enqueue_async(later.job(number + 10))
        return "done"

    with app.test_mode():
        handle = plain.enqueue(1)
        runs = app.run_inline()
        assert handle.result(0) == 1
        assert [run.result for run in runs] == [1, "done", "done"]
        assert ran == [threading.current_thread(), (1, False, later.name), (1, False, later.name)]
        assert app.run_inline() == []


async def test_inside_an_event_loop_jobs_are_awaited(app: App):
    """Async functions in this loop, plain ones in a thread."""
    threads: list[threading.Thread] = []

    @app.task
    def plain() -> None:
        threads.append(threading.current_thread())

    @app.task
    async def asynchronous() -> None:
        threads.append(threading.current_thread())

    with pytest.raises(PenstockError, match="await run_inline_async"):
        app.run_inline(plain.job())
    await app.run_inline_async(plain.job(), asynchronous.job())
    assert threads[0] is not threading.current_thread()
    assert threads[1] is threading.current_thread()


def test_one_job_runs_without_test_mode(app: App):
    """Given to run_inline directly."""

    @app.task
    def double(number: int) -> int:
        return number * 2

    [run] = app.run_inline(double.job(4))
    assert (run.state, run.result, run.attempts, run.exception) == (OutcomeState.COMPLETED, 8, 1, None)


def test_a_failure_is_attempted_again_at_once_until_it_is_a_dead_letter(app: App):
    """As many attempts as the job has."""
    attempts: list[int] = []

    @app.task(max_attempts=3)
    def failing(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise RuntimeError("no")

    with app.test_mode():
        handle = failing.enqueue()
        [run] = app.run_inline()
        assert handle.status() is JobState.DEAD
    assert attempts == [1, 2, 3]
    assert (run.state, run.attempts, str(run.exception)) == (OutcomeState.FAILED, 3, "no")


def test_a_failure_that_is_never_retried_ends_at_once(app: App):
    """`retry={...: NEVER}`."""

    @app.task(retry={ValueError: NEVER})
    async def failing() -> None:
        raise ValueError("no")

    [run] = app.run_inline(failing.job())
    assert (run.state, run.attempts) == (OutcomeState.FAILED, 1)


@pytest.mark.parametrize("raised", [True, False])
@pytest.mark.parametrize(
    ("outcome", "state", "attempts"),
    [
        (Retry(delay=9), OutcomeState.FAILED, 2),
        (Snooze(9), OutcomeState.SNOOZE, 0),
        (Cancel("gone"), OutcomeState.CANCELLED, 1),
    ],
)
def test_an_outcome_means_the_same_returned_or_raised(app: App, raised: bool, outcome, state, attempts):
    """Retry counts as an attempt, Snooze does not, Cancel ends the job."""

    @app.task(max_attempts=2)
    def asking() -> object:
        if raised:
            raise outcome
        return outcome

    [run] = app.run_inline(asking.job())
    assert (run.state, run.attempts, run.exception) == (state, attempts, outcome)


def test_a_snoozed_job_runs_in_the_next_run(app: App):
    """It is left among the collected."""
    asked: list[int] = []

    @app.task
    def once_more() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise Snooze(60)
        return "now"

    with app.test_mode():
        handle = once_more.enqueue()
        app.run_inline()
        assert handle.status() is JobState.SCHEDULED
        app.run_inline()
        assert handle.result(0) == "now"


def test_a_result_that_cannot_be_kept_is_a_failure_here(app: App):
    """A test shows it before production does."""

    @app.task(max_attempts=1)
    def opaque() -> object:
        return object()

    [run] = app.run_inline(opaque.job())
    assert isinstance(run.exception, UnencodableResult)


def test_arguments_that_do_not_fit_are_not_retried(app: App):
    """No attempt would change them."""

    @app.task(name="t")
    def typed(number: int) -> None: ...

    [run] = app.run_inline(NewJob(task="t", args='{"number": "x"}'))
    assert (run.state, run.attempts) == (OutcomeState.FAILED, 1)
    assert isinstance(run.exception, InvalidArguments)


def test_an_unknown_task_is_named_with_those_that_are_known(app: App):
    """The registry is closed."""

    @app.task(name="known")
    def known() -> None: ...

    with pytest.raises(UnknownTask, match="no task 'os:system' on this App; it has known"):
        app.run_inline(NewJob(task="os:system", args="{}"))


def test_nothing_to_run_is_said(app: App):
    """Outside test mode there is nothing collected."""
    with pytest.raises(ConfigurationError, match="test_mode"):
        app.run_inline()


def test_lifespans_are_entered_in_order_and_left_in_the_other(app: App):
    """Plain and async generators, around all jobs of a run."""
    steps: list[str] = []

    @app.lifespan
    async def pool() -> AsyncIterator[None]:
        steps.append("pool opens")
        yield
        steps.append("pool closes")

    @app.lifespan
    def folder() -> Iterator[None]:
        steps.append("folder opens")
        yield
        steps.append("folder closes")

    @app.task
    def work() -> None:
        steps.append("work")

    app.run_inline(work.job(), work.job())
    assert steps == ["pool opens", "folder opens", "work", "work", "folder closes", "pool closes"]


def test_tasks_that_enqueue_one_another_without_end_are_stopped(app: App):
    """A test ends."""

    @app.task
    def endless() -> None:
        endless.enqueue()

    with pytest.raises(PenstockError, match="more than 10000 jobs"):
        app.run_inline(endless.job())
