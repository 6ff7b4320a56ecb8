"""Hooks end as variously as tasks do: what they return is awaited where it can be."""

from __future__ import annotations

import asyncio

from penstock import App
from penstock.runtime.middleware.hooks import HookDispatcher
from tests.task_exits import plain


async def test_an_async_hook_inside_a_plain_decorator_is_awaited() -> None:
    """On the loop as well as in a thread; what it raises is counted."""
    app = App()
    heard: list[object] = []

    async def hear(value: object) -> None:
        await asyncio.sleep(0)
        heard.append(value)
        if value == "no":
            raise ValueError(value)

    for event in ("job.start", "job.dead"):
        app.on(event)(plain(hear))
    hooks = HookDispatcher(app.hooks)
    for value in ("yes", "no"):
        hooks.dispatch("job.start", value)
        hooks.dispatch("job.dead", value)
    await hooks.close(60.0)
    assert sorted(map(str, heard)) == ["no", "no", "yes", "yes"]
    assert (hooks.failed["job.start"], hooks.failed["job.dead"]) == (1, 1)
