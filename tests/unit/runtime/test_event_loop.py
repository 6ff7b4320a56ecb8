"""The event loop of a worker: no code of the application stops it, and its stop is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from penstock.runtime.event_loop import Runner, in_own_thread, loop_factory


@pytest.fixture(params=["asyncio", "as installed"])
def runner(request) -> Iterator[Runner]:
    with Runner(None if request.param == "asyncio" else loop_factory(), left_seconds=0.1) as made:
        yield made


async def exits() -> None:
    sys.exit(3)


async def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("what", "kind"), [(exits, SystemExit), (interrupted, KeyboardInterrupt)])
def test_what_a_task_raises_reaches_the_code_that_awaits_it_and_the_loop_runs_on(runner, caplog, what, kind):
    """As if no event loop stood between them; and the log says once where it came from."""

    async def main() -> str:
        with pytest.raises(kind):
            await asyncio.gather(what(), asyncio.sleep(0))
        with pytest.raises(kind):
            async with asyncio.TaskGroup() as group:
                group.create_task(what())
                group.create_task(asyncio.sleep(60))
        return "went on"

    assert runner.run(main()) == "went on"
    assert caplog.text.count("exception reached the event loop") == 2
    assert "in exits" in caplog.text or "in interrupted" in caplog.text


@pytest.mark.parametrize("how", ["callback", "timer", "done callback", "reader", "exception handler", "task"])
def test_what_nobody_awaits_has_ended_and_the_loop_runs_on(runner, how):
    """Whatever the loop calls; the callbacks after it run as well."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        reading, writing = os.pipe()
        match how:
            case "callback":
                loop.call_soon(sys.exit, 3)
            case "timer":
                loop.call_later(0.001, sys.exit, 3)
            case "done callback":
                gone.add_done_callback(lambda _: sys.exit(3))
            case "reader":
                loop.add_reader(reading, lambda: (loop.remove_reader(reading), sys.exit(3)))
                os.write(writing, b"x")
            case "exception handler":
                loop.set_exception_handler(lambda *_: sys.exit(3))
                loop.call_soon(int, "no number")
            case "task":
                kept.append(loop.create_task(exits()))
        loop.call_later(0.01, gone.set_result, None)
        await gone
        await asyncio.sleep(0)
        os.close(reading)
        os.close(writing)
        return "went on"

    kept: list[asyncio.Task[None]] = []
    assert runner.run(main()) == "went on"


def test_a_loop_that_somebody_stops_runs_on(runner, caplog):
    """`loop.stop()` is for the runner of the loop."""

    async def main() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        return "went on"

    assert runner.run(main()) == "went on"
    assert "event loop stopped by the application" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("no"), asyncio.CancelledError()])
def test_what_the_main_coroutine_raises_is_raised(runner, error):
    """When it finishes, however it does, the run is over; and the runner can be used again."""

    async def main() -> None:
        raise error

    async def after() -> str:
        await asyncio.sleep(0)
        return "again"

    with pytest.raises(type(error)):
        runner.run(main())
    assert runner.run(after()) == "again"


def test_a_signal_whose_handler_raises_in_the_loop_does_not_end_it(runner, caplog):
    """As after a task has put the interpreter's own handler back."""

    async def main() -> str:
        signal.signal(signal.SIGUSR1, signal.default_int_handler)
        threading.Timer(0.01, signal.raise_signal, [signal.SIGUSR1]).start()
        loop = asyncio.get_running_loop()
        before = loop.time()
        while "KeyboardInterrupt" not in caplog.text and loop.time() - before < 30:
            await asyncio.sleep(0.001)
        return "went on"

    before = signal.getsignal(signal.SIGUSR1)
    try:
        assert runner.run(main()) == "went on"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [vars(record)["exception"] for record in caplog.records] == ["KeyboardInterrupt"]


def left_running(ended: threading.Event) -> list[Callable[[], object]]:
    """What an application may leave running on a loop, each started by a call; the thread ends with `ended`."""

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue

    async def exits_at_its_cancellation() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            sys.exit(3)

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(600)

    async def started() -> None:
        await anext(kept)

    kept = generator()
    return [
        lambda: asyncio.get_running_loop().create_task(deaf(), name="deaf"),
        lambda: asyncio.get_running_loop().create_task(exits_at_its_cancellation()),
        lambda: asyncio.get_running_loop().create_task(started()),
        lambda: asyncio.get_running_loop().run_in_executor(None, ended.wait, 60),
    ]


@pytest.mark.parametrize("number", range(4), ids=["deaf task", "exits as it is cancelled", "generator", "thread"])
def test_nothing_that_is_left_running_keeps_the_loop_from_closing(number, caplog):
    """Tasks that ignore their cancellation, generators that do not finish, threads of the default executor."""
    kept, ended = [], threading.Event()

    async def main() -> None:
        kept.append(left_running(ended)[number]())
        await asyncio.sleep(0.01)

    runner = Runner(left_seconds=0.05)
    loop = runner.get_loop()
    runner.run(main())
    runner.close()
    assert loop.is_closed()
    ended.set()
    assert ("abandoned" in caplog.text) == (number == 0)
    runner.close()


async def test_a_call_in_a_thread_of_its_own_needs_no_thread_of_the_loop():
    """The application may have taken them all, or shut them down."""
    await asyncio.get_running_loop().shutdown_default_executor()
    called: list[str] = []
    await in_own_thread(lambda: called.append(threading.current_thread().name), name="own")
    assert called == ["own"]
    with pytest.raises(ValueError, match="no"):
        await in_own_thread(lambda: int("no"), name="own")  # type: ignore[arg-type]
