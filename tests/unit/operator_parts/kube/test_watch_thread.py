"""The thread of the watches: whatever ends a run, another one follows; what no run could mend ends the thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from penstock_operator.kube.watch_health import WatchHealth
from penstock_operator.kube.watch_thread import Watches
from tests.support.waiting import eventually

PAUSE = 0.01


class Runs:
    """Runs that end as the test says, one after another; the last goes on until it is stopped."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.ends, self.count, self.stopped = list(ends), 0, threading.Event()

    async def __call__(self, stop: asyncio.Event) -> None:
        self.count += 1
        if self.count <= len(self.ends):
            if (end := self.ends[self.count - 1]) is not None:
                raise end
            return
        await stop.wait()
        self.stopped.set()


def health() -> WatchHealth:
    return WatchHealth(namespaces=("shop",))


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition, "the watches are where the test wants them")


@pytest.mark.parametrize(
    "end",
    [
        None,
        OSError("the network"),
        RuntimeError("Event processing has failed with an unrecoverable error."),
        asyncio.CancelledError(),
        ExceptionGroup("tasks", [ValueError("a stream")]),
        TimeoutError(),
    ],
)
async def test_whatever_ends_a_run_another_one_follows(end: BaseException | None):
    """Three times in a row, with a longer pause each time; each is counted."""
    runs, restarts = Runs(end, end, end), [0]

    def restarted() -> None:
        restarts[0] += 1

    watches = Watches(runs, health=health(), restarted=restarted, pause=PAUSE)
    ended = watches.start()
    await until(lambda: runs.count == 4)
    assert (restarts[0], ended.done()) == (3, False)
    await watches.stop()
    assert runs.stopped.is_set()
    assert await ended is None


@pytest.mark.parametrize("end", [SystemExit(3), MemoryError(), KeyboardInterrupt()])
async def test_what_no_restart_mends_ends_the_thread_and_is_reported(end: BaseException):
    """The process ends with it, and Kubernetes starts it again."""
    watches = Watches(Runs(end), health=health(), pause=PAUSE)
    assert await watches.start() is end
    await watches.stop()


async def test_a_run_in_which_a_watch_is_asked_for_by_nobody_starts_over():
    """As where the definition comes after the operator: no error would ever end that run."""
    now = [0.0]
    known = WatchHealth(namespaces=("shop",), clock=lambda: now[0])
    runs = Runs()
    watches = Watches(runs, health=known, pause=PAUSE)
    watches.start()
    await until(lambda: runs.count == 1)
    now[0] += 60
    await until(lambda: runs.count > 1)
    await watches.stop()


async def test_a_stop_during_the_pause_is_heeded_at_once():
    """A pause may be fifteen seconds."""
    runs = Runs(OSError("the network"))
    watches = Watches(runs, health=health(), pause=3600)
    watches.start()
    await until(lambda: runs.count == 1)
    await watches.stop()
    assert not watches._thread.is_alive()
    assert runs.count == 1


async def test_a_run_that_does_not_end_when_it_has_lost_a_watch_is_abandoned():
    """Its tasks swallow every cancellation, as kopf's may; the next run has a loop of its own."""
    count = 0

    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def run(stop: asyncio.Event) -> None:
        nonlocal count
        count += 1
        if count > 1:
            await stop.wait()
            return
        await asyncio.gather(asyncio.create_task(stubborn()), asyncio.create_task(stubborn()))

    watches = Watches(run, health=health(), lost=lambda: "a watch has ended" if count == 1 else None, pause=PAUSE)
    watches.start()
    await until(lambda: count >= 2)  # the guard of the second run may ask before that has counted itself
    await watches.stop()
    assert not watches._thread.is_alive()
