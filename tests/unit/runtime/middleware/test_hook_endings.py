"""Hooks end as variously as tasks do: what they return is awaited where it can be."""

from __future__ import annotations

import asyncio

from penstock import App
from penstock.runtime.middleware.hooks import Announcer
from tests.endings import plain


async def test_an_async_hook_behind_a_plain_decorator_is_awaited() -> None:
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
    announcer = Announcer(app.hooks)
    for value in ("yes", "no"):
        announcer.tell("job.start", value)
        announcer.tell("job.dead", value)
    await announcer.close(60.0)
    assert sorted(map(str, heard)) == ["no", "no", "yes", "yes"]
    assert (announcer.failed["job.start"], announcer.failed["job.dead"]) == (1, 1)
