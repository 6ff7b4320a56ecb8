"""Enqueueing through a client: options, handles, bulk, and the words of what is refused."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from penstock import App, JobHandle, JobInfo, JobState, NewJob, Task
from penstock.app.handle import _pauses
from penstock.errors import (
    ConfigurationError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultTimeout,
    TaskError,
    UnencodableArgument,
)


@dataclass
class Recorder:
    """A client that keeps what it is given and answers `info` from a script."""

    jobs: list[NewJob] = field(default_factory=list)
    connections: list[object] = field(default_factory=list)
    answers: list[JobInfo | None] = field(default_factory=list)
    polls: int = 0

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        self.jobs += jobs
        self.connections.append(connection)
        return [100 + number for number in range(len(jobs))]

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        return self.enqueue(jobs, connection=connection)

    def info(self, job_id: int) -> JobInfo | None:
        self.polls += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def info_async(self, job_id: int) -> JobInfo | None:
        return self.info(job_id)

    def cancel(self, job_id: int, reason: str | None) -> str | None:
        return None

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        return None

    def close(self) -> None: ...
    async def close_async(self) -> None: ...


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def app(recorder: Recorder) -> App:
    app = App()
    app.client = recorder
    return app


@pytest.fixture
def resize(app: App) -> Task[[str, int], str, [str, int], str]:
    @app.task(name="resize", queue="images", max_attempts=4, priority=2)
    def resize(path: str, width: int) -> str:
        return f"{path}@{width}"

    return resize


def row(state: JobState, **values) -> JobInfo:
    return JobInfo(
        id=7,
        state=state,
        queue="images",
        task="resize",
        priority=1,
        attempt=3,
        max_attempts=3,
        crashes=0,
        created_at=datetime.now(UTC),
        **values,
    )


def test_a_job_takes_from_its_task_what_the_options_do_not_say(resize, recorder):
    """Queue, priority and attempts of the task; a handle with the id that the store gave."""
    handle = resize.enqueue("a.png", width=10)
    assert handle.id == 100
    assert recorder.jobs == [
        NewJob(task="resize", args='{"path":"a.png","width":10}', queue="images", priority=2, max_attempts=4)
    ]
    assert recorder.connections == [None]


def test_options_win_over_the_task(resize, recorder):
    """Each option, and the connection that the caller's transaction is on."""
    connection = object()
    at = datetime(2027, 1, 1, tzinfo=UTC)
    resize.options(
        at=at, priority=0, queue="slow", max_attempts=1, headers={"traceparent": "00-1"}, connection=connection
    ).enqueue("a.png", 10)
    assert recorder.jobs == [
        NewJob(
            task="resize",
            args='{"path":"a.png","width":10}',
            queue="slow",
            priority=0,
            max_attempts=1,
            at=at,
            headers='{"traceparent":"00-1"}',
        )
    ]
    assert recorder.connections == [connection]


def test_a_delay_is_seconds_or_a_timedelta(resize):
    """Kept in seconds: the database adds it to its own clock."""
    assert resize.options(delay=1.5).job("a", 1).delay == 1.5
    assert resize.options(delay=timedelta(minutes=1)).job("a", 1).delay == 60


def test_options_can_be_kept_and_changed(resize):
    """Each `options` makes another enqueuer; the first stays as it was."""
    slow = resize.options(queue="slow", delay=5)
    assert slow.options(delay=9).job("a", 1).delay == 9
    assert slow.job("a", 1).delay == 5
    assert slow.options(priority=0).job("a", 1).queue == "slow"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"delay": -1}, "delay must be from 0.*got -1"),
        ({"delay": float("nan")}, "got nan"),
        ({"delay": "soon"}, "soon"),
        ({"delay": 1, "at": datetime.now(UTC)}, "give delay or at, not both"),
        ({"at": datetime(2027, 1, 1)}, "with a time zone, got datetime"),  # noqa: DTZ001
        ({"at": "tomorrow"}, "with a time zone, got 'tomorrow'"),
        ({"priority": 4}, "from 0 to 3, got 4"),
        ({"queue": "a b"}, "queue must be .*got 'a b'"),
        ({"max_attempts": 0}, "from 1 to 1000, got 0"),
    ],
)
def test_a_wrong_option_names_rule_and_value(resize, wrong, named):
    """Before any argument is read."""
    with pytest.raises(ConfigurationError, match=named):
        resize.options(**wrong)


def test_an_option_that_does_not_exist_is_refused(resize):
    """Nothing is accepted before it works."""
    with pytest.raises(TypeError, match="colour"):
        resize.options(colour="x")


@pytest.mark.parametrize("headers", [{"a": 1}, {1: "a"}, {"a": "\x00"}])
def test_headers_are_text(resize, recorder, headers):
    """By name and value, and such that Postgres can hold it."""
    with pytest.raises(UnencodableArgument, match="header"):
        resize.options(headers=headers).enqueue("a", 1)
    assert recorder.jobs == []


async def test_the_async_twins_do_the_same(app, resize, recorder):
    """One job, several jobs, and what is known of them."""
    connection = object()
    assert (await resize.enqueue_async("a", 1)).id == 100
    assert (await resize.options(connection=connection).enqueue_async("b", 2)).id == 100
    assert await app.enqueue_many_async([resize.job("c", 3), resize.job("d", 4)]) == [100, 101]
    assert recorder.connections == [None, connection, None]
    recorder.answers = [row(JobState.QUEUED), row(JobState.QUEUED), row(JobState.COMPLETED, result="a@1")]
    handle = app.job(7)
    assert await handle.status_async() is JobState.QUEUED
    assert (await handle.info_async()).queue == "images"
    assert await handle.result_async(timeout=5) == "a@1"


def test_many_jobs_go_in_one_call_and_their_ids_come_in_order(app, resize, recorder):
    """From any iterable; none at all makes no call."""
    assert app.enqueue_many(resize.job("x", n) for n in range(3)) == [100, 101, 102]
    assert len(recorder.connections) == 1
    assert app.enqueue_many([]) == []
    assert len(recorder.connections) == 1


def test_something_else_than_a_job_is_refused_among_many(app, resize, recorder):
    """And nothing is written."""
    with pytest.raises(TaskError, match=r"made by task.job\(...\), got Task\('resize'\)"):
        app.enqueue_many([resize.job("x", 1), resize])
    assert recorder.jobs == []


def test_a_connection_belongs_to_the_bulk_not_to_a_job_of_it(resize):
    """It would be dropped in silence."""
    with pytest.raises(ConfigurationError, match="enqueue_many"):
        resize.options(connection=object()).job("a", 1)


def test_a_handle_waits_for_the_result(app, recorder):
    """Polls until the job has ended."""
    recorder.answers = [row(JobState.SCHEDULED), row(JobState.RUNNING), row(JobState.COMPLETED, result={"a": 1})]
    assert app.job(7).result(timeout=5) == {"a": 1}
    assert recorder.polls == 3


def test_a_result_has_the_type_that_the_task_returns(app, recorder):
    """The JSON is read back as the function's return type; what does not fit any more says so."""

    @app.task
    async def when() -> datetime: ...  # type: ignore[empty-body]

    recorder.answers = [row(JobState.COMPLETED, result="2026-01-01T00:00:00Z")]
    assert when.enqueue().result(0) == datetime(2026, 1, 1, tzinfo=UTC)
    recorder.answers = [row(JobState.COMPLETED, result="yesterday")]
    with pytest.raises(TaskError, match="job 100, task 'resize': the stored result does not fit"):
        when.enqueue().result(0)


@pytest.mark.parametrize(
    ("answer", "error", "named"),
    [
        (None, JobNotFound, "job 7: there is no such job"),
        (row(JobState.DEAD, reason="exhausted"), JobFailed, r"job 7, task 'resize': .*attempt 3 \(exhausted\)$"),
        (row(JobState.DEAD, errors=[{"type": "KeyError", "message": "'x'"}]), JobFailed, "attempt 3: KeyError: 'x'$"),
        (row(JobState.CANCELLED), JobCancelled, "job 7, task 'resize': cancelled"),
        (row(JobState.RUNNING), ResultTimeout, "job 7: not finished within 0 s"),
    ],
)
def test_a_result_that_is_not_there_says_why(app, recorder, answer, error, named):
    """One error for each way not to have one."""
    recorder.answers = [answer]
    with pytest.raises(error, match=named):
        app.job(7).result(timeout=0)
    assert 1 <= recorder.polls <= 2


def test_waiting_polls_less_often_with_time_and_ends_on_time():
    """20 ms, then doubling."""
    assert list(itertools.islice(_pauses(None), 8)) == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert list(_pauses(-1)) == [0.0]


def test_an_app_without_a_url_says_which_variable(monkeypatch):
    """At the first use, not when tasks are declared."""
    monkeypatch.delenv("PENSTOCK_DATABASE_URL", raising=False)
    app = App()

    @app.task
    def nothing() -> None: ...

    with pytest.raises(ConfigurationError, match="PENSTOCK_DATABASE_URL"):
        nothing.enqueue()


def test_closing_what_was_never_opened_is_nothing(monkeypatch):
    """An App may be closed at any time, as often as one likes."""
    monkeypatch.delenv("PENSTOCK_DATABASE_URL", raising=False)
    with App() as app:
        app.close()


def test_a_handle_is_known_by_its_id(app):
    """In logs and in a debugger."""
    assert repr(app.job(7)) == "JobHandle(7)"
    assert isinstance(app.job(7), JobHandle)
