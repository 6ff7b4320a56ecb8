"""Awaits the result of a task if needed: an async function inside a plain decorator returns its coroutine.

The worker awaits it wherever the function ran: on the event loop, with the context variables that the function had and
in the time that it has left. Must not decide what the outcome is.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from types import CoroutineType, GeneratorType
from typing import Any


def is_awaitable(value: object) -> bool:
    """True if `await value` works. Called for the result of each job, so the type alone decides nearly always."""
    kind = type(value)
    return hasattr(kind, "__await__") or (kind is GeneratorType and inspect.isawaitable(value))


async def await_fully(value: Any) -> object:
    """Await it, and its result, until the result is not awaitable."""
    while is_awaitable(value):
        value = await value
    return value


async def finished_call(call: Callable[[], Awaitable[Any]]) -> object:
    """Call an async function and await all of what it returns."""
    return await await_fully(await call())


async def settled_in(context: contextvars.Context, value: Any) -> object:
    """`await_fully` with the context variables that the function had which made the awaitable."""

    async def caught() -> tuple[object, BaseException | None]:
        try:
            return await await_fully(value), None
        except BaseException as error:  # noqa: BLE001 - SystemExit in a task of its own would reach the event loop
            return None, error

    task = asyncio.Task(caught(), loop=asyncio.get_running_loop(), context=context)
    result, failure = await task
    if failure is not None:
        raise failure
    return result


def discard(value: object) -> None:
    """It will not be awaited: spare the log the warning about that."""
    if type(value) is CoroutineType:
        value.close()


def is_closing(error: BaseException) -> bool:
    """True if a coroutine is being closed, because no event loop runs it any more, and has not raised by itself."""
    return issubclass(type(error), GeneratorExit) and asyncio._get_running_loop() is None  # noqa: SLF001 - the public one raises
