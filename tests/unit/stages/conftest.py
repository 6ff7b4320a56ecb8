"""A house for stages: starts them, stops them after the test, and fails a test that leaves a task running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

House = Callable[..., Awaitable[Any]]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Starts stages: they are killed after the test, and nothing else may still run then."""
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    before = asyncio.all_tasks()
    stages: list[Any] = []

    async def start(*new: Any) -> Any:
        for stage in new:
            stages.append(stage)
            await stage.start()
        return new[0] if len(new) == 1 else new

    yield start
    for stage in stages:
        stage.kill()
        await stage.wait()
    await asyncio.sleep(0)
    stray = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not stray, f"stray tasks: {stray}"
    assert not problems, f"the loop complained: {problems}"
