"""A claimer without a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.unit.runtime.claims.bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Awaitable[Bench]]]:
    made: list[Bench] = []

    async def make(*, poll: float = 60.0, listening: bool = False) -> Bench:
        one = Bench(poll=poll, listening=listening)
        made.append(one)
        await one.start()
        return one

    yield make
    for one in made:
        await one.stop()
