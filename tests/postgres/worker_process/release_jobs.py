"""One application in two releases: the same tasks by name, other parameters."""

from __future__ import annotations

from penstock import App

OLD = "tests.postgres.worker_process.release_jobs:old"
NEW = "tests.postgres.worker_process.release_jobs:new"

old, new = App(), App()


@old.task(name="greet", queue="q")
async def greet_before(name: str) -> str:
    return name


@new.task(name="greet", queue="q")
async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


@old.task(name="resize", queue="q", executor="process")
def resize_before(width: int) -> int:
    return width


@new.task(name="resize", queue="q", executor="process")
def resize(width: int | str) -> str:
    return f"{width} px"


@old.task(name="charge", queue="q")
def charge_before(amount: int, currency: str) -> str:
    return f"{amount} {currency}"


@new.task(name="charge", queue="q")
def charge(amount: int) -> str:
    return f"{amount} EUR"
