"""Hostile input: one clear error each, and nothing written; what looks like SQL is a text like any other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from penstock import App
from penstock.app.arguments.codec import ArgumentCodec
from penstock.errors import InvalidArguments, PenstockError, RejectedByDatabase, StoreError
from penstock.job import JobState, NewJob, UniqueKey
from penstock.store import SyncClient, enqueue_on
from tests.postgres import desk
from tests.support.postgres import Database, Servers

NAN, INF = float("nan"), float("inf")
NOTHING = "SELECT (SELECT count(*) FROM penstock.job), (SELECT count(*) FROM penstock.queue)"
SQL = """'); DROP TABLE penstock.job; --"""
NOISE = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))


@pytest.fixture(scope="module")
def database(servers: Servers) -> Iterator[Database]:
    """One for the whole module: nothing is written here, as every test shows."""
    with servers.newest.database() as made:
        yield made


@pytest.fixture
def newest(database) -> Iterator[psycopg.Connection]:
    """A connection to it, without the rows of earlier tests."""
    with database.connect() as connection:
        connection.execute("TRUNCATE penstock.job, penstock.queue, penstock.worker")
        yield connection


@pytest.fixture
def client(database, newest) -> Iterator[SyncClient]:
    opened = SyncClient(database.url)
    yield opened
    opened.close()


def new(**options: Any) -> NewJob:
    return NewJob(**{"task": "work", "args": "{}", "queue": "q", **options})


def keyed(key: str, **options: Any) -> dict[str, Any]:
    return {"unique": UniqueKey(key=key, **options)}


WRONG: dict[str, dict[str, Any]] = {
    "nested two hundred thousand deep": {"args": "[" * 200_000 + "]" * 200_000},
    "not JSON": {"args": '{"a":'},
    "NaN in JSON": {"args": '{"a": NaN}'},
    "a number that nothing can hold": {"args": '{"a": 1e400000}'},
    "headers that are not JSON": {"headers": "{"},
    "NUL in arguments": {"args": '"\0"'},
    "NUL escaped in arguments": {"args": '"\\u0000"'},
    "NUL in the task's name": {"task": "a\0b"},
    "NUL in the queue's name": {"queue": "a\0b"},
    "NUL in a key": keyed("a\0b"),
    "a lone surrogate in arguments": {"args": '"\ud800"'},
    "a lone surrogate escaped in arguments": {"args": '"\\ud800"'},
    "a lone surrogate in the task's name": {"task": "a\ud800b"},
    "a lone surrogate in a key": keyed("\udfff"),
    "a task's name that is too long": {"task": "x" * 256},
    "a queue's name that is too long": {"queue": "x" * 64},
    "a key that no index can hold": keyed(NOISE),
    "SQL in the queue's name": {"queue": SQL},
    "a delay that is no number": {"delay": NAN},
    "an endless delay": {"delay": INF},
    "a delay of minus infinity": {"delay": -INF},
    "a delay beyond all time": {"delay": 1e300},
    "a delay beyond ten years": {"delay": 3e11},
    "the year 10000": {"at": datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12)))},
    "an expiry that is no number": keyed("k", expires=NAN),
    "an endless expiry": keyed("k", expires=INF),
    "a priority beyond all integers": {"priority": 10**30},
    "a priority that is no integer": {"priority": NAN},
    "attempts beyond a smallint": {"max_attempts": 40_000},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_kept_is_refused_whole_with_one_error(case, client, newest):
    """In the middle of a bulk, through a pool and inside the caller's transaction; the message is one line."""
    jobs = [new(), new(**WRONG[case]), new()]
    with pytest.raises(RejectedByDatabase, match=r"^enqueue: .*\w") as refused:
        client.enqueue(jobs)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 500
    assert newest.execute(NOTHING).fetchone() == (0, 0)


@pytest.mark.parametrize("case", ["NUL in a key", "a lone surrogate in a key", "the year 10000"])
def test_the_same_inside_the_callers_transaction(case, database, newest):
    """The driver's own refusals too."""
    with psycopg.connect(database.url) as connection, pytest.raises(PenstockError):
        enqueue_on(connection, [new(**WRONG[case])])
    assert newest.execute(NOTHING).fetchone() == (0, 0)


def test_sql_in_names_keys_and_arguments_is_text(client, newest):
    """Kept letter by letter, found again, and not run."""
    first, again = client.enqueue([new(task=SQL, args=f'{{"a": "{SQL}"}}', **keyed(SQL)), new(**keyed(SQL))])
    info = client.info(first)
    assert first == again
    assert info is not None
    assert (info.task, info.args, info.state) == (SQL, {"a": SQL}, JobState.QUEUED)
    assert newest.execute(NOTHING).fetchone() == (1, 1)
    assert newest.execute("SELECT penstock.pause(%s, true)", [SQL]).fetchone() == (False,)


UNEQUAL = [
    "p_priorities => '{1}'",
    "p_priorities => '{1,1,1}'",
    "p_max_attempts => '{1}'",
    "p_delays => '{5}'",
    "p_delays => '{1,2,3}'",
    "p_ats => ARRAY[now()]",
    "p_headers => ARRAY['{}']::jsonb[]",
    "p_unique_keys => '{a}'",
    "p_unique_keys => '{a,b,c}'",
    "p_until_start => '{t}', p_unique_keys => '{a,b}'",
    "p_unique_seconds => '{1}', p_unique_keys => '{a,b}'",
    "p_refuse => '{t}', p_unique_keys => '{a,b}'",
]


@pytest.mark.parametrize("arrays", UNEQUAL)
def test_arrays_of_unequal_length_are_refused(arrays, newest):
    """Filled up with defaults, a caller's mistake would be a job with the wrong options."""
    call = f"SELECT penstock.enqueue_many('{{q,q}}', '{{t,t}}', ARRAY['{{}}','{{}}']::jsonb[], {arrays})"
    with pytest.raises(psycopg.DataError, match="as many elements as tasks"):
        newest.execute(call.encode())
    assert newest.execute(NOTHING).fetchone() == (0, 0)


@pytest.mark.parametrize(
    "arrays", ["'{q}', '{}', '{}'", "'{q,q}', '{t}', ARRAY['{}']::jsonb[]", "'{q}', '{t}', '{}'", "NULL, '{t}', NULL"]
)
def test_arrays_that_must_be_there_are_refused_without(arrays, newest):
    """Queues, tasks and arguments belong together."""
    with pytest.raises(psycopg.DataError, match="as many elements as tasks"):
        newest.execute(f"SELECT penstock.enqueue_many({arrays})".encode())
    assert newest.execute(NOTHING).fetchone() == (0, 0)


@pytest.mark.parametrize("at", ["infinity", "20000-01-01", "9999-01-01Z"])
def test_a_time_that_nobody_can_read_back_is_refused_in_plain_sql_too(at, newest):
    """And minus infinity is simply over."""
    with pytest.raises(psycopg.DataError, match="before the year 9999"):
        newest.execute("SELECT penstock.enqueue('q', 't', p_at => %s::timestamptz)", [at])
    assert newest.execute(NOTHING).fetchone() == (0, 0)
    newest.execute("SELECT penstock.enqueue('q', 't', p_at => '-infinity')")
    assert newest.execute("SELECT ord IS NOT NULL FROM penstock.job").fetchone() == (True,)


LIMIT = 262_144
SIZES: dict[str, tuple[str, bool]] = {
    "a string at the limit": (f'"{"x" * (LIMIT - 2)}"', True),
    "a string above it": (f'"{"x" * (LIMIT - 1)}"', False),
    "numbers at the limit, without spaces": ("[1," + "1," * ((LIMIT - 4) // 2 - 1) + "11]", True),
    "numbers above it": ("[1," + "1," * (LIMIT // 2) + "1]", False),
    "separators that are text": ('{"a":"' + ", : " * (LIMIT // 4) + '"}', False),
    "quotes and backslashes below it": ('["' + '\\\\\\", ' * 40_000 + '"]', True),
    "one short number with a long text": ("[1e131071]", True),
    "short numbers with long texts": ("[" + "1e131071," * 20 + "1]", False),
    "so many that nobody can write them down": ("[" + "1e131071," * 20_000 + "1]", False),
}


@pytest.mark.parametrize("case", SIZES)
def test_plain_sql_is_bound_by_the_limit_of_256_kib(case, newest):
    """Counted as JSON without spaces, as the client counts; a claim must be able to hand out what was taken in."""
    body, fits = SIZES[case]
    query = "SELECT penstock.enqueue('q', 't', %s::jsonb)"
    if not fits:
        with pytest.raises(psycopg.OperationalError) as refused:
            newest.execute(query.encode(), [body])
        assert refused.value.sqlstate == "54000"
        assert newest.execute(NOTHING).fetchone() == (0, 0)
        return
    newest.execute(query.encode(), [body])
    worker = desk.register(newest)
    taken = newest.execute("SELECT length(args) FROM penstock.claim(%s, %s, 1, 1)", [worker.id, worker.queue])
    assert taken.fetchone()[0] >= min(len(body), 131_072)


def test_headers_and_every_job_of_a_bulk_are_bound_by_the_limit_too(newest):
    """The message says what, how much and the limit."""
    body = f'{{"x": "{"y" * LIMIT}"}}'
    for arrays in (
        "'{t,t}', ARRAY['{}', %s]::jsonb[]",
        "'{t,t}', ARRAY['{}', '{}']::jsonb[], p_headers => ARRAY[NULL, %s]::jsonb[]",
    ):
        with pytest.raises(psycopg.OperationalError, match=r"of a job are 262152 bytes as JSON, the limit is 262144"):
            newest.execute(f"SELECT penstock.enqueue_many('{{q,q}}', {arrays})".encode(), [body])
    assert newest.execute(NOTHING).fetchone() == (0, 0)


@pytest.mark.parametrize("missing", ["NULL, 't', '{}'", "'q', NULL, '{}'", "'q', 't', NULL"])
def test_a_null_where_a_value_must_be_is_refused(missing, newest):
    """By the tables' own rules."""
    with pytest.raises(psycopg.IntegrityError):
        newest.execute(f"SELECT penstock.enqueue({missing})".encode())
    assert newest.execute(NOTHING).fetchone() == (0, 0)


@pytest.mark.parametrize("seconds", [NAN, INF, 1e300])
def test_an_absurd_lease_is_refused(seconds, newest):
    """Of a worker and of a leader: nobody may hold anything for ever."""
    worker = desk.register(newest)
    for statement, values in (
        ("SELECT penstock.register('q', 'x', NULL, NULL, '0', 1, %s, '{}')", [seconds]),
        ("SELECT penstock.lead('x', 'x', %s)", [seconds]),
        (desk.RENEW, [worker.id, seconds, [], []]),
    ):
        with pytest.raises(psycopg.DataError, match="out of range"):
            newest.execute(statement.encode(), values)
    assert newest.execute("SELECT max(lease_until) < now() + interval '1 h' FROM penstock.worker").fetchone() == (True,)
    assert newest.execute("SELECT count(*) FROM penstock.leader").fetchone() == (0,)


@pytest.mark.parametrize("delay", [NAN, INF, 1e300])
def test_an_absurd_delay_of_a_retry_leaves_the_attempt_as_it_was(delay, newest):
    """The outcome is refused by the database; the worker halves its batch and makes a plain failure of it."""
    worker = desk.register(newest)
    (job,) = desk.enqueue(newest)
    token = desk.token()
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    ack = "SELECT * FROM penstock.ack(%s, %s, %s, '{retry}', p_delays => %s)"
    with pytest.raises(psycopg.DataError):
        newest.execute(ack.encode(), [worker.id, [job], [token], [delay]])
    assert newest.execute("SELECT id, token FROM penstock.job").fetchone() == (job, token)
    assert newest.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (0,)


@pytest.mark.parametrize("arrays", ["'{7}'", "'{7,7}', '{failed}'", "'{7,7}', p_delays => '{1,2,3}'"])
def test_outcomes_of_unequal_length_are_refused(arrays, newest):
    """A state that is missing would read as completed."""
    worker = desk.register(newest)
    ids = desk.enqueue(newest, 2)
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 2, 7])
    with pytest.raises(psycopg.DataError, match="as many elements as ids"):
        newest.execute(f"SELECT * FROM penstock.ack(%s, %s, {arrays})".encode(), [worker.id, ids])
    assert newest.execute("SELECT count(*) FROM penstock.job WHERE token = 7").fetchone() == (2,)


def test_a_claim_without_a_token_or_of_less_than_nothing_takes_nothing(newest):
    """The table refuses the one, the arithmetic the other."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    with pytest.raises(psycopg.IntegrityError):
        newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, None])
    for count in (0, -1, -(2**31)):
        assert newest.execute(desk.CLAIM, [worker.id, worker.queue, count, desk.token()]).fetchall() == []
    assert newest.execute("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL").fetchone() == (0,)


def test_arguments_too_deep_for_this_language_are_one_error_and_no_crash(client, newest):
    """Another language may have enqueued them: looked up they are an error, run they are a dead letter."""
    deep = "[" * 5000 + "]" * 5000
    row = newest.execute(
        "SELECT penstock.enqueue('q', 'anything', jsonb_build_object('x', %s::jsonb))", [deep]
    ).fetchone()
    with pytest.raises(StoreError, match="nested too deeply"):
        client.info(row[0])
    codec = ArgumentCodec(task="anything", function=lambda x: x, skip=0)
    with pytest.raises(InvalidArguments, match="nested too deeply"):
        codec.decode(f'{{"x": {deep}}}')


def test_the_application_refuses_before_anything_is_sent(database, newest):
    """Every rule of options and keys, by name and value; no connection is even opened."""
    app = App(database.url)

    @app.task(name="work", queue="q")
    def work(x: Any) -> None: ...

    cyclic: list[Any] = []
    cyclic.append(cyclic)
    far = datetime.now(UTC).replace(tzinfo=None)
    for wrong in (NAN, INF, cyclic, "\ud800", "\0", "x" * 300_000, {1j}):
        with pytest.raises(PenstockError, match="work"):
            work.enqueue(wrong)
    for options in ({"delay": NAN}, {"delay": 1e300}, {"delay": -1}, {"at": far}, {"queue": SQL}, {"priority": 10**30}):
        with pytest.raises(PenstockError):
            work.options(**options).enqueue(1)
    assert newest.execute(NOTHING).fetchone() == (0, 0)
    app.close()
