"""The App with a task for each executor that finishes as its argument names: a key of `tests.task_exits.TASK_EXITS`."""

from __future__ import annotations

from typing import Any

from penstock import App
from tests.task_exits import TASK_EXITS, exit_async

PATH = "tests.exit_jobs:app"

app = App()


@app.task(name="async", queue="q", max_attempts=1)
async def on_the_loop(how: str) -> Any:
    return await exit_async(how)


@app.task(name="thread", queue="q", max_attempts=1)
def in_a_thread(how: str) -> Any:
    return TASK_EXITS[how].act()


@app.task(name="process", queue="q", max_attempts=1, executor="process")
def in_a_child(how: str) -> Any:
    return TASK_EXITS[how].act()


@app.task(name="process_async", queue="q", max_attempts=1, executor="process")
async def async_in_a_child(how: str) -> Any:
    return await exit_async(how)


TASKS = {task.name: task for task in (on_the_loop, in_a_thread, in_a_child, async_in_a_child)}
