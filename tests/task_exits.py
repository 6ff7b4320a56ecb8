"""Every way in which the code of a task can end, as one table: what the task does, and what becomes of its job.

`TASK_EXITS` by name. The App of `tests/exit_jobs.py` has a task for each executor that finishes in the way that its
argument names. The contract, wherever the task runs: the attempt finishes, its slot is free, the worker goes on. More
than 300 lines, because it is one table.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from penstock import Cancel, Retry, Snooze

Where = Literal["async", "thread", "process", "process_async"]
"""An async function on the event loop, a plain one in a thread, a plain one in a child, an async one in a child."""

PLAIN: Final[tuple[Where, ...]] = ("thread", "process")
ASYNC: Final[tuple[Where, ...]] = ("async", "process_async")
EVERYWHERE: Final[tuple[Where, ...]] = ("async", "thread", "process", "process_async")


class Odd(BaseException):
    """What no `except Exception` stops."""


class WordlessError(Exception):
    """Neither text nor pickle."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__

    def __reduce__(self) -> NoReturn:
        raise KeyboardInterrupt


class EvasiveError(Exception):
    """Answers the question for its class itself."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise SystemExit(4)


class Later:
    """Something to await that is no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return "later"


@dataclass(frozen=True, kw_only=True)
class TaskExit:
    """One way.

    Attributes:
        act: what the task does.
        where: executors in which this can be.
        state: of the job at the end, when it has one attempt.
        reason: of its outcome.
        error: the class of the error that is kept, where it is the same in every executor.
        result: what the job returns.
    """

    act: Callable[[], Any]
    where: tuple[Where, ...] = EVERYWHERE
    state: str = "dead"
    reason: str | None = "exhausted"
    error: str | None = None
    result: Any = None


def raising(make: Callable[[], BaseException]) -> Callable[[], Any]:
    """A function that raises what `make` returns."""

    def act() -> NoReturn:
        raise make()

    return act


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of async functions."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def recursing() -> int:
    """Until the stack is over."""
    return 1 + recursing()


async def exits() -> None:
    """As `sys.exit` in a coroutine that a task awaits."""
    await asyncio.sleep(0)
    sys.exit(3)


async def interrupted() -> None:
    """As above."""
    await asyncio.sleep(0)
    raise KeyboardInterrupt


async def gathered() -> None:
    """Next to one that takes longer."""
    await asyncio.gather(exits(), asyncio.sleep(0.1))


async def grouped(what: Callable[[], Any]) -> None:
    """In a TaskGroup, next to one that takes longer."""
    async with asyncio.TaskGroup() as group:
        group.create_task(what())
        group.create_task(asyncio.sleep(60))


async def shielded() -> None:
    """In a task of its own."""
    await asyncio.shield(exits())


async def in_a_thread() -> None:
    """In a thread of the loop's default executor."""
    await asyncio.to_thread(sys.exit, 3)


async def with_a_timeout() -> None:
    """Below `wait_for`."""
    await asyncio.wait_for(exits(), 60)


async def in_a_callback() -> str:
    """Nobody awaits a callback."""
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    asyncio.get_running_loop().call_soon(raising(KeyboardInterrupt))
    asyncio.get_running_loop().call_later(0.001, sys.exit, "later")
    await asyncio.sleep(0.05)
    return "went on"


async def in_a_done_callback() -> str:
    """Of a future that the task awaits."""
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: sys.exit(3))
    asyncio.get_running_loop().call_soon(future.set_result, "went on")
    return str(await future)


_unawaited: set[asyncio.Task[None]] = set()


async def in_an_unawaited_task() -> str:
    """Ends as a thread does that nobody joins."""
    task = asyncio.create_task(exits())
    _unawaited.add(task)
    await asyncio.sleep(0.01)
    _unawaited.discard(task)
    assert isinstance(task.exception(), SystemExit)
    return "went on"


async def handled_by_the_loop() -> str:
    """An exception handler of the loop that exits."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda *_: sys.exit(3))
    loop.call_soon(raising(ValueError))
    await asyncio.sleep(0.01)
    loop.set_exception_handler(before)
    return "went on"


async def cancelling_itself() -> None:
    """At its next await."""
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    await asyncio.sleep(0)


async def cancelled_at_the_end() -> str:
    """Too late to be cancelled."""
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    return "done"


async def closed_from_outside() -> None:
    """Somebody closes the coroutine of the attempt."""
    current = asyncio.current_task()
    assert current is not None
    coroutine = current.get_coro()
    assert coroutine is not None
    asyncio.get_running_loop().call_soon(coroutine.close)
    await asyncio.sleep(600)


async def stopping_the_loop() -> str:
    """As a script does that runs the loop itself."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    return "went on"


async def closing_the_loop() -> None:
    """Refused, because it runs."""
    asyncio.get_running_loop().close()


async def running_another_loop() -> None:
    """Refused, because one runs."""
    call = asyncio.sleep(0)
    try:
        asyncio.run(call)
    finally:
        call.close()


@plain
async def decorated(what: Callable[[], Any] | None = None) -> Any:
    """An async function in a plain decorator."""
    await asyncio.sleep(0)
    return "awaited" if what is None else what()


def generated() -> Iterator[int]:
    """A generator, from a function without a yield of its own."""
    yield 1


async def generated_async() -> AsyncIterator[int]:
    """As above."""
    yield 1


async def exit_async(how: str) -> Any:
    """End in this way, for an async task: awaits what only async tasks can do, returns anything else as it is."""
    chosen = TASK_EXITS[how]
    value = chosen.act()
    return value if "thread" in chosen.where else await value


TASK_EXITS: Final[dict[str, TaskExit]] = {
    # what is returned
    "returns": TaskExit(act=lambda: "done", state="completed", reason=None, result="done"),
    "returns nothing": TaskExit(act=lambda: None, state="completed", reason=None),
    "returns a coroutine": TaskExit(act=decorated, state="completed", reason=None, result="awaited"),
    "returns something to await": TaskExit(act=Later, state="completed", reason=None, result="later"),
    "returns a coroutine that returns a coroutine": TaskExit(
        act=lambda: decorated(decorated), state="completed", reason=None, result="awaited"
    ),
    "returns a coroutine that raises": TaskExit(
        act=lambda: decorated(raising(lambda: ValueError("no"))), error="builtins.ValueError"
    ),
    "returns a coroutine that exits": TaskExit(act=lambda: decorated(sys.exit), error="builtins.SystemExit"),
    "returns a coroutine that cancels": TaskExit(
        act=lambda: decorated(lambda: Cancel("unwanted")), state="cancelled", reason="unwanted"
    ),
    "returns a generator": TaskExit(act=generated, reason="unstorable_result"),
    "returns an async generator": TaskExit(act=generated_async, reason="unstorable_result"),
    "returns what has no JSON": TaskExit(act=object, reason="unstorable_result"),
    "returns Cancel": TaskExit(act=lambda: Cancel("unwanted"), state="cancelled", reason="unwanted"),
    # what is raised
    "raises Cancel": TaskExit(act=raising(lambda: Cancel("unwanted")), state="cancelled", reason="unwanted"),
    "raises Snooze": TaskExit(act=raising(lambda: Snooze(3600, "later")), state="scheduled", reason="later"),
    "raises Retry at its last attempt": TaskExit(act=raising(lambda: Retry(3600)), error="penstock.outcomes.Retry"),
    "raises an exception": TaskExit(act=raising(lambda: ValueError("no")), error="builtins.ValueError"),
    "raises a timeout": TaskExit(act=raising(TimeoutError), error="builtins.TimeoutError"),
    "raises a group": TaskExit(
        act=raising(lambda: ExceptionGroup("two", [ValueError("no"), TypeError("no")])), error="builtins.ExceptionGroup"
    ),
    "raises a group of anything": TaskExit(
        act=raising(lambda: BaseExceptionGroup("two", [SystemExit(3), GeneratorExit()])),
        error="builtins.BaseExceptionGroup",
    ),
    "raises SystemExit": TaskExit(act=raising(lambda: SystemExit(3)), error="builtins.SystemExit"),
    "exits": TaskExit(act=lambda: sys.exit("with a text"), error="builtins.SystemExit"),
    "raises KeyboardInterrupt": TaskExit(act=raising(KeyboardInterrupt), error="builtins.KeyboardInterrupt"),
    "raises GeneratorExit": TaskExit(act=raising(GeneratorExit), error="builtins.GeneratorExit"),
    "raises StopIteration": TaskExit(act=raising(lambda: StopIteration(1))),
    "raises StopAsyncIteration": TaskExit(act=raising(StopAsyncIteration), error="builtins.StopAsyncIteration"),
    "raises CancelledError": TaskExit(act=raising(asyncio.CancelledError), error="asyncio.exceptions.CancelledError"),
    "raises a BaseException": TaskExit(act=raising(Odd), error="tests.task_exits.Odd"),
    "raises what has no text": TaskExit(act=raising(WordlessError), error="tests.task_exits.WordlessError"),
    "raises what hides its class": TaskExit(act=raising(EvasiveError), error="tests.task_exits.EvasiveError"),
    "recurses without end": TaskExit(act=recursing, error="builtins.RecursionError"),
    # below an async task
    "exits below gather": TaskExit(act=gathered, where=ASYNC, error="builtins.SystemExit"),
    "exits in a group": TaskExit(act=lambda: grouped(exits), where=ASYNC, error="builtins.SystemExit"),
    "is interrupted in a group": TaskExit(
        act=lambda: grouped(interrupted), where=ASYNC, error="builtins.KeyboardInterrupt"
    ),
    "exits under a shield": TaskExit(act=shielded, where=ASYNC, error="builtins.SystemExit"),
    "exits below wait_for": TaskExit(act=with_a_timeout, where=ASYNC, error="builtins.SystemExit"),
    "exits in a thread of the loop": TaskExit(act=in_a_thread, where=ASYNC, error="builtins.SystemExit"),
    "exits in a callback": TaskExit(act=in_a_callback, where=ASYNC, state="completed", reason=None, result="went on"),
    "exits in a done callback": TaskExit(
        act=in_a_done_callback, where=ASYNC, state="completed", reason=None, result="went on"
    ),
    "exits in a task that nobody awaits": TaskExit(
        act=in_an_unawaited_task, where=ASYNC, state="completed", reason=None, result="went on"
    ),
    "exits in the loop's exception handler": TaskExit(
        act=handled_by_the_loop, where=ASYNC, state="completed", reason=None, result="went on"
    ),
    "cancels itself": TaskExit(act=cancelling_itself, where=ASYNC, error="asyncio.exceptions.CancelledError"),
    "cancels itself before it returns": TaskExit(
        act=cancelled_at_the_end, where=ASYNC, state="completed", reason=None, result="done"
    ),
    "is closed from outside": TaskExit(act=closed_from_outside, where=("async",), error="builtins.GeneratorExit"),
    "stops the loop": TaskExit(act=stopping_the_loop, where=ASYNC, state="completed", reason=None, result="went on"),
    "closes the loop": TaskExit(act=closing_the_loop, where=ASYNC, error="builtins.RuntimeError"),
    "runs another loop": TaskExit(act=running_another_loop, where=ASYNC, error="builtins.RuntimeError"),
}
