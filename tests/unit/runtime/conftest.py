"""A pod without a database, for tests of its consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.unit.runtime.support import Pod, until, wire


@pytest.fixture
async def pod() -> AsyncIterator[Callable[..., Awaitable[Pod]]]:
    made: list[Pod] = []

    async def make(**options) -> Pod:
        one = Pod(**options)
        made.append(one)
        await wire(one.source, one.consumers, one.sink)
        await until(lambda: one.source.demands)
        return one

    yield make
    for one in made:
        await one.stop()
