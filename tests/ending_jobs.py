"""The App with a task for each executor that ends in the way it is told: a name of `tests.endings.ENDINGS`."""

from __future__ import annotations

from typing import Any

from penstock import App
from tests.endings import ENDINGS, ended_async

PATH = "tests.ending_jobs:app"

app = App()


@app.task(name="async", queue="q", max_attempts=1)
async def on_the_loop(how: str) -> Any:
    return await ended_async(how)


@app.task(name="thread", queue="q", max_attempts=1)
def in_a_thread(how: str) -> Any:
    return ENDINGS[how].act()


@app.task(name="process", queue="q", max_attempts=1, executor="process")
def in_a_child(how: str) -> Any:
    return ENDINGS[how].act()


@app.task(name="process_async", queue="q", max_attempts=1, executor="process")
async def async_in_a_child(how: str) -> Any:
    return await ended_async(how)


TASKS = {task.name: task for task in (on_the_loop, in_a_thread, in_a_child, async_in_a_child)}
