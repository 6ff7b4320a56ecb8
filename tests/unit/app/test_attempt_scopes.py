"""Scopes around attempts: order, kinds of tasks, errors. Where workers enter them is tested with workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from penstock.app.attempt_scopes import AttemptScopes
from penstock.errors import InvalidTask


def numbered(log: list[str], name: str):
    def scope() -> Iterator[None]:
        log.append(f"enter {name}")
        try:
            yield
        finally:
            log.append(f"exit {name}")

    return scope


def test_plain_scopes_nest_around_a_plain_call():
    """The first registered is the outermost, also if the call raises."""
    log: list[str] = []
    scopes = AttemptScopes()
    scopes.add(numbered(log, "a"))
    scopes.add(numbered(log, "b"))

    def call() -> None:
        log.append("call")
        raise ValueError("of the task")

    with pytest.raises(ValueError, match="of the task"):
        scopes.around(call, is_async=False)()
    assert log == ["enter a", "enter b", "call", "exit b", "exit a"]


def test_async_scopes_nest_around_an_async_call_only():
    """An async scope leaves plain calls alone, and the other way round."""
    log: list[str] = []
    scopes = AttemptScopes()

    @scopes.add
    async def scope() -> AsyncIterator[None]:
        log.append("enter")
        yield
        log.append("exit")

    async def call() -> int:
        log.append("call")
        return 7

    assert asyncio.run(scopes.around(call, is_async=True)()) == 7
    assert log == ["enter", "call", "exit"]
    assert scopes.around(dict, is_async=False) is dict


def test_without_scopes_the_call_stays_itself():
    """No layer for those who use none."""
    scopes = AttemptScopes()
    assert scopes.around(dict, is_async=False) is dict
    assert scopes.around(dict, is_async=True) is dict


def test_a_scope_must_be_a_generator_function():
    """The message shows what was given."""
    with pytest.raises(InvalidTask, match=r"yields once, got <built-in function len>"):
        AttemptScopes().add(len)  # type: ignore[type-var]
