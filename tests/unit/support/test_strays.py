"""The fixtures that fail a test which leaves something running do see it."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading

from tests.support import strays
from tests.support.waiting import eventually


def test_a_thread_that_is_still_running_is_named() -> None:
    """And no more once it has ended."""
    before = strays.threads()
    goon = threading.Event()
    thread = threading.Thread(target=goon.wait, name="forgotten")
    thread.start()
    try:
        assert "forgotten" in strays.left_running(before, strays.children(), grace=0)
    finally:
        goon.set()
        thread.join()
    assert strays.left_running(before, strays.children(), grace=0) == ""


def test_a_child_process_is_named_until_it_is_reaped() -> None:
    """A zombie counts: somebody forgot to wait for it."""
    before = strays.children()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert str(child.pid) in strays.left_running(strays.threads(), before, grace=0)
        child.kill()
        assert str(child.pid) in strays.left_running(strays.threads(), before, grace=0)
    finally:
        child.kill()
        child.communicate()
    assert strays.left_running(strays.threads(), before, grace=0) == ""


def test_a_child_of_any_thread_is_found_with_and_without_the_kernels_list() -> None:
    """Not every kernel keeps one; the children of other processes are never counted."""
    script = "import subprocess; subprocess.run(['sh', '-c', 'read line'])"
    started: list[subprocess.Popen[bytes]] = []
    goon = threading.Event()

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE))
        goon.wait()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        eventually(lambda: started, "the child is started")
        assert {started[0].pid} <= strays._child_pids() == strays._scanned_child_pids()
    finally:
        goon.set()
        thread.join()
    assert {started[0].pid} <= strays._child_pids() == strays._scanned_child_pids()
    started[0].communicate()
    assert started[0].pid not in strays._child_pids() | strays._scanned_child_pids()


def test_a_child_that_belongs_to_the_session_is_not_the_tests() -> None:
    """`keep` announces it."""
    before = strays.children()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        strays.keep(lambda: [child.pid])
        assert strays.left_running(strays.threads(), before, grace=0) == ""
    finally:
        child.kill()
        child.communicate()


def test_a_socket_that_nobody_closed_is_named_as_it_is_collected() -> None:
    """Once; before that it is garbage that nobody has collected."""
    gc.disable()  # else any other collection might come first
    try:
        ring: list[object] = [socket.socket()]
        ring.append(ring)
        del ring
        assert ["unclosed <socket" in message for message in strays.unclosed()] == [True]
    finally:
        gc.enable()
    assert strays.unclosed() == []


async def test_a_task_that_nobody_awaits_is_named() -> None:
    """And one that finishes within a few turns of the loop is not."""
    assert await strays.tasks_left_running() == []
    task = asyncio.create_task(asyncio.sleep(3600), name="forgotten")
    short = asyncio.create_task(asyncio.sleep(0), name="short")
    assert [task.partition(":")[0] for task in await strays.tasks_left_running(turns=10)] == ["forgotten"]
    await short
    task.cancel()
