"""A hostile server costs its own process: every kind of misbehavior ends in an error of that database, and in time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.errors import DatabaseUnavailable, InvalidDatabaseURL, StoreError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock_operator.database.address import Address
from penstock_operator.database.client import DatabaseClient
from penstock_operator.database.process.child import environment
from penstock_operator.database.process.limits import EXIT_MEMORY
from penstock_operator.database.process.protocol import FRESH_SECONDS
from penstock_operator.errors import DatabaseMisbehaves, NotLeader
from tests.support.hostile_postgres import DEAF, GREEDY, NETWORK, Servers, escapes, hostile_servers
from tests.support.postgres_messages import Answer, Behavior, answers, penstock, queue_row, snapshot, worker_row

LIARS: dict[str, Behavior] = {
    "a negative count": snapshot(queue_row(ready="-5")),
    "a count that is no number": snapshot(queue_row(ready="many")),
    "a count too large for any queue": snapshot(queue_row(ready=str(2**62))),
    "an id of another type": snapshot(queue_row(), columns=[("queue", 25)] + [(str(n), 25) for n in range(11)]),
    "too few columns": snapshot(["1", "bad"], columns=[("queue", 23), ("name", 25)]),
    "a worker without an id": snapshot(queue_row(workers='[{"state": "running"}]')),
    "a worker with endless slots": snapshot(queue_row(workers=worker_row(concurrency=10**9))),
    "workers that are a word": snapshot(queue_row(workers='"x"')),
    "JSON nested without end": snapshot(queue_row(workers="[" * 100_000)),
    "a worker's pod as long as a book": snapshot(queue_row(workers=worker_row(pod="p" * 100_000))),
    "an error instead of rows": answers(lambda sql: b"" if "penstock.sample(" in sql else penstock(sql)),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Hostile servers."""
    with hostile_servers() as made:
        yield made


@asynccontextmanager
async def client(url: str, *, may_act: Callable[[], bool] = lambda: True) -> AsyncIterator[DatabaseClient]:
    """A database's process with little memory, so that a server fills it soon."""
    made = DatabaseClient(
        address=Address(url=url, direct_url=url), holder="test", woken=lambda: None, may_act=may_act, memory_mib=48
    )
    try:
        yield made
    finally:
        await made.stop()
        assert made.pid is None


async def sampled(database: DatabaseClient, seconds: float) -> object:
    """Open it and take a sample, within so many seconds after its process is there."""
    await database.start()
    async with asyncio.timeout(seconds):
        await database.open()
        return await database.sample(["bad"])


@pytest.mark.parametrize("name", DEAF)
async def test_a_server_that_never_answers_leaves_nothing_open(servers: Servers, name: str):
    """Its callers give up by their own clock, and the process exits with what it waited for."""
    async with client(servers.url(name, DEAF[name])) as database:
        with pytest.raises((TimeoutError, StoreError)):
            await sampled(database, 1.0)


@pytest.mark.parametrize("name", GREEDY)
async def test_a_server_that_sends_more_than_its_share_is_cut_off(servers: Servers, name: str):
    """The bound is that of its process; the operator holds none of it."""
    before = peak_kib()
    async with client(servers.url(name, GREEDY[name])) as database:
        with pytest.raises(DatabaseMisbehaves):
            await sampled(database, 60.0)
    assert peak_kib() - before < 20 * 1024


@pytest.mark.parametrize("name", NETWORK)
async def test_what_is_no_postgres_server_is_unavailable(servers: Servers, name: str):
    """One class for all of them."""
    async with client(servers.url(name, NETWORK[name])) as database:
        with pytest.raises(DatabaseUnavailable):
            await sampled(database, 30.0)


@pytest.mark.parametrize("name", LIARS)
async def test_values_that_penstock_does_not_write_never_reach_the_operator(servers: Servers, name: str):
    """They are refused where they come in."""
    async with client(servers.url(name, LIARS[name])) as database:
        with pytest.raises(StoreError):
            await sampled(database, 30.0)


async def test_queues_that_nobody_asked_for_are_not_passed_on(servers: Servers):
    """However many a server claims to have."""
    many = snapshot(*[queue_row(name=f"q{number}") for number in range(5_000)], queue_row())
    async with client(servers.url("many", many)) as database:
        assert list(await sampled(database, 30.0)) == ["bad"]  # type: ignore[call-overload]


async def test_a_number_that_is_none_is_no_number(servers: Servers):
    """NaN and negative ages compare with nothing."""
    for text, found in (("NaN", None), ("-3", 0.0), ("Infinity", None)):
        async with client(servers.url("age", snapshot(queue_row(oldest=text)))) as database:
            states = await sampled(database, 30.0)
            assert states["bad"].oldest == found  # type: ignore[index]


async def test_a_servers_message_arrives_without_escapes(servers: Servers):
    """On one line, with every hidden character visible."""
    async with client(servers.url("escapes", escapes)) as database:
        with pytest.raises(StoreError) as raised:
            await sampled(database, 30.0)
    assert str(raised.value).isprintable()
    assert "owned" in str(raised.value)


@pytest.mark.parametrize(("how", "error"), [(signal.SIGXCPU, DatabaseMisbehaves), (signal.SIGTERM, StoreError)])
async def test_the_end_of_a_process_is_an_error_of_what_was_asked(servers: Servers, how: signal.Signals, error: type):
    """At once, and the next call starts another process."""
    async with client(servers.url("mute", DEAF["mute after login"])) as database:
        await database.start()
        asked = asyncio.create_task(database.open())
        await asyncio.sleep(0)
        first = database.pid
        assert first is not None
        os.kill(first, how)
        with pytest.raises(error):
            async with asyncio.timeout(30):
                await asked
        await database.close()
        await database.start()
        assert database.pid not in {None, first}


async def test_a_process_that_ends_while_it_is_asked_nothing_is_a_failure_of_the_next_start(servers: Servers):
    """Said once. Else a server that ends its process with what it sends of its own accord had another one at once."""
    woken = asyncio.Event()
    url = servers.url("idle", DEAF["mute"])
    database = DatabaseClient(address=Address(url=url, direct_url=url), holder="test", woken=woken.set)
    try:
        await database.start()
        first = database.pid
        assert first is not None
        assert not woken.is_set()
        os.kill(first, signal.SIGXCPU)
        await asyncio.wait_for(woken.wait(), 60)
        with pytest.raises(DatabaseMisbehaves):
            await database.start()
        await database.start()
        assert database.pid not in {None, first}
    finally:
        await database.stop()


async def test_nothing_is_asked_of_the_database_by_a_replica_that_does_not_lead(servers: Servers):
    """Neither a cordon nor a declaration leaves the operator's own process."""
    async with client(servers.url("penstock", answers(penstock)), may_act=lambda: False) as database:
        await sampled(database, 30.0)
        with pytest.raises(NotLeader):
            await database.cordon([1], cordon=True)
        with pytest.raises(NotLeader):
            await database.declare("bad", QueueDeclaration(declared_by="u"))


async def test_a_write_that_reaches_its_process_late_is_not_done(servers: Servers):
    """The process was frozen between the question whether this replica leads and the statement; by then it does not."""
    sent: list[str] = []
    leads = True

    def answer(sql: str) -> object:
        sent.append(sql)
        return penstock(sql)

    async with client(servers.url("late", answers(answer)), may_act=lambda: leads) as database:  # type: ignore[arg-type]
        await sampled(database, 30.0)
        assert database.pid is not None
        os.kill(database.pid, signal.SIGSTOP)
        asked = asyncio.create_task(database.cordon([1], cordon=True))
        until = time.monotonic() + FRESH_SECONDS + 0.1
        while time.monotonic() < until:
            await asyncio.sleep(0.02)
        leads = False
        os.kill(database.pid, signal.SIGCONT)
        with pytest.raises(NotLeader):
            await asked
    assert not any("cordon" in one for one in sent)


async def test_a_url_that_reads_the_machine_is_refused_before_anything_is_connected(servers: Servers):
    """The sentence names the key and not its value."""
    url = servers.url("refused", DEAF["mute"])
    async with client(f"{url}?passfile=/etc/shadow") as database:
        with pytest.raises(InvalidDatabaseURL, match="passfile") as raised:
            await sampled(database, 30.0)
    assert "shadow" not in str(raised.value)
    assert "refused" not in servers.connections


def test_a_process_gets_nothing_of_the_operators_environment_that_a_server_could_use():
    """No token, no PG* variable, no home."""
    given = {"PATH": "/bin", "PGPASSWORD": "x", "PGSERVICE": "x", "KUBECONFIG": "/x", "PYTHONPATH": "/x", "HOME": "/x"}
    made = environment(given)
    assert made["PATH"] == "/bin"
    assert made["HOME"] == "/nonexistent"
    assert not {"PGPASSWORD", "PGSERVICE", "KUBECONFIG", "PYTHONPATH"} & made.keys()


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("confine(64)\ntry: bytearray(2**27)\nexcept MemoryError: os._exit(EXIT_MEMORY)", EXIT_MEMORY),
        ("CpuBudget(burst=0.5, share=0.0).refill()\nwhile True: pass", -signal.SIGXCPU),
        ("confine(64)\ntry: open('x', 'wb').write(b'x' * 2**22)\nexcept OSError: os._exit(3)", 3),
    ],
    ids=["memory", "processor time", "files"],
)
def test_the_limits_end_a_process_that_exceeds_them(code: str, ends: int, tmp_path: Path):
    """By the kernel, whatever the process is busy with."""
    imports = "import os\nfrom penstock_operator.database.process.limits import *\n"
    done = subprocess.run([sys.executable, "-c", imports + code], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == ends


def peak_kib() -> int:
    """The most memory that this process ever had."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:", 1)[1].split()[0])


async def test_a_follower_has_a_process_that_is_connected_to_nothing(servers: Servers):
    """A takeover need not wait for its start. One that ends is not replaced at once, nor does anything fail by it."""
    asked: list[str] = []

    def noting(sql: str) -> Answer | bytes:
        asked.append(sql)
        return penstock(sql)

    async with client(servers.url("follower", answers(noting)), may_act=lambda: False) as database:
        await database.stand_by()
        first = database.pid
        assert first is not None
        await database.stand_by()
        assert (database.pid, asked) == (first, [])
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(60):
            while database.pid is not None:
                await asyncio.sleep(0.01)
        await database.stand_by()
        assert (database.pid, asked) == (None, [])
