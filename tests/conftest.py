"""Fixtures of every folder: real servers on demand, and the rule that a test leaves nothing running."""

from __future__ import annotations

import asyncio
import compileall
import gc
import inspect
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support import strays
from tests.support.postgres import Servers
from tests.support.schedule import Schedule, sendable, worker_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from xdist.remote import Producer

    from tests.support.postgres import Database


pytest_plugins = ["tests.support.kube_fixtures"]
CLUSTER_SECONDS = 900
"""For a test on the API server: several waits in a row that a busy machine may draw out."""
ROOT = Path(__file__).parent.parent

# Keep the rewritten asserts of six hundred modules between runs, even where the environment says to write no bytecode.
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what all tests share.

    - Compile our packages, as the images do: the tests start hundreds of processes, many as a user who cannot write
      bytecode; without it an operator spends four seconds of CPU on compiling before its first line.
    - Set no event loop: the asyncio plugin asks for one, and asyncio would make one that nobody closes.
    - Give each example of a property unlimited time: Hypothesis grants 200 ms, except where it sees that it is CI.
    - Take SIGINT: a shell lets what it runs in the background ignore it, and every process of the tests would inherit
      that.
    """
    if not hasattr(config, "workerinput"):
        for package in ("worker", "operator", "examples"):
            compileall.compile_dir(ROOT / package, quiet=2)
    asyncio.set_event_loop(None)
    hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
    hypothesis.settings.load_profile("patient")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: more workers than cores."""
    return worker_count()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Distribute by folder, file or test; see `tests/support/schedule.py`."""
    return Schedule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a worker report also what a test printed that is no text."""
    report = yield
    return sendable(report)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Watch the tasks of every test that has an event loop; the others need none. A cluster takes its time."""
    for item in items:
        if "control_plane_commands" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(CLUSTER_SECONDS))
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(item.function)):
            after = item.fixturenames.index("no_stray_thread_or_process")  # whose check must see the loop closed
            item.fixturenames.insert(after + 1, "no_stray_task")


def pytest_collection_finish() -> None:
    """Refuse a suite whose import silences the log: tests of other folders would fail, and in whole runs only.

    And leave what is there by now out of every collection of garbage: there is one after each test.

    Raises:
        UsageError: a module that was collected, or imported by one, has disabled loggers.
    """
    silenced = [name for name, one in logging.root.manager.loggerDict.items() if getattr(one, "disabled", False)]
    if logging.root.manager.disable or any(name.startswith("penstock") for name in silenced):
        level = logging.root.manager.disable
        raise pytest.UsageError(f"importing the tests has disabled logging: level {level}, loggers {silenced}")
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail a test that leaves something unclosed; else the test fails in which its garbage happens to be collected."""
    yield
    used = {"servers", "control_plane_commands", "no_stray_task"}.intersection(getattr(item, "fixturenames", ()))
    if used and (left := strays.unclosed()):
        pytest.fail(f"the test left something unclosed: {left}")


@pytest.fixture(autouse=True)
def no_stray_thread_or_process() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process running."""
    threads, children = strays.threads(), strays.children()
    yield
    if left := strays.left_running(threads, children):
        pytest.fail(f"the test left something running: {left}")


@pytest.fixture
async def no_stray_task() -> AsyncIterator[None]:
    """Fail a test that leaves an asyncio task running."""
    yield
    if left := await strays.tasks_left_running():
        pytest.fail(f"the test left asyncio tasks: {left}")


@pytest.fixture(scope="session", autouse=True)
def nothing_unclosed_at_the_end() -> Iterator[None]:
    """Fail the last test if what `strays.unclosed` left out of its collections has something unclosed by then."""
    yield
    gc.unfreeze()
    if left := strays.unclosed():
        pytest.fail(f"the tests left something unclosed: {left}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The session's PostgreSQL servers, started when first used."""
    running = Servers()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def pg_newest(servers: Servers) -> Iterator[Database]:
    """A migrated database of this test's own, on the newest server."""
    with servers.newest.database() as database:
        yield database


@pytest.fixture
def pg_url(pg_newest: Database) -> str:
    """The URL of `pg_newest`."""
    return pg_newest.url
