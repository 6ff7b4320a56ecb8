"""What a type checker says of an application's code: mypy, strict, on a file as a user writes it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXAMPLE = """
from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import assert_type

import penstock
from penstock import Ap, crn  # E: attr-defined
from penstock import NEVER, App, Backoff, Context, JobHandle, NewJob, Retry, TaskSchedule, Unique, cron, every

app = App()


@app.lifespan
async def opened() -> AsyncIterator[None]:
    yield


@app.task
def plain(path: str, width: int, height: int = 10) -> str:
    return path


@app.task(queue="emails", timeout=30, max_attempts=5, retry={ValueError: NEVER, OSError: Backoff(base_seconds=1)})
async def mail(ctx: Context, user: int) -> bytes:
    if ctx.attempt > 3:
        raise Retry(delay=5)
    async with ctx.transaction() as connection:
        await connection.execute("SELECT 1")
    return b""


@app.task(schedule=cron("0 9 * * MON-FRI", timezone="Europe/Berlin", overlap="Skip", args={}))
def report() -> None:
    assert_type(every(timedelta(minutes=5), missed="All", missed_limit=3, lead_seconds=30), TaskSchedule)


@app.task(schedule=[every(timedelta(hours=1), name="eu"), cron("@daily", suspend=True)])
def refresh() -> None: ...


async def uses() -> None:
    assert_type(plain("a", 1), str)
    assert_type(plain.enqueue("a", 1, height=2), JobHandle[str])
    assert_type(await mail.enqueue_async(7), JobHandle[bytes])
    assert_type(mail.enqueue(7).result(timeout=1), bytes)
    assert_type(mail.job(user=7), NewJob)
    assert_type(app.enqueue_many(mail.job(n) for n in range(3)), list[int])
    mail.options(delay=timedelta(minutes=1), priority=1, unique=Unique(key="a", until="start")).enqueue(7)

    assert_type(penstock.__version__, str)
    assert_type(penstock.errors.UnknownTask("a"), penstock.errors.UnknownTask)
    penstock.Wrong  # E: attr-defined
    plain.enqueue("a")  # E: call-arg
    plain.enqueue("a", "b")  # E: arg-type
    plain.enqueue("a", 1, depth=3)  # E: call-arg
    mail.enqueue("seven")  # E: arg-type
    mail.job()  # E: call-arg
    await mail.enqueue_async(None)  # E: arg-type
    mail.options(delay="soon").enqueue(7)  # E: arg-type
    mail.options(dealy=3).enqueue(7)  # E: call-arg
    mail.options(priority=0).enqueue(user="x")  # E: arg-type
    plain("a", b"")  # E: arg-type
    Unique(until="never", key="a")  # E: arg-type
    app.task(timout=3)  # E: call-overload
    number: int = plain.enqueue("a", 1).result()  # E: assignment
    app.enqueue_many([mail])  # E: list-item
    cron("@daily", overlap="Never")  # E: arg-type
    cron("@daily", lead=30)  # E: call-arg
    cron(9)  # E: arg-type
    cron("@daily", args=[1])  # E: arg-type
    every(300)  # E: arg-type
    every(timedelta(minutes=5), timezone="UTC")  # E: call-arg
    every(timedelta(minutes=5), missed_limit="all")  # E: arg-type
    app.task(schedule="@daily")  # E: arg-type
"""


def test_wrong_arguments_are_refused_and_right_ones_are_not(tmp_path: Path):
    """Every line that ends with an `E:` is an error of that kind; no other line is one."""
    path = tmp_path / "users_jobs.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    options = ["--strict", "--config-file", "", "--cache-dir", str(ROOT / ".mypy_cache"), "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *options, "--python-version", "3.11", str(path)]
    # Not in this process: mypy raises the limit of recursion for good.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    said = done.stdout
    assert done.stderr == ""
    found = {(int(line), code) for line, code in re.findall(r"users_jobs\.py:(\d+): error: .*\[([\w-]+)\]", said)}
    lines = enumerate(EXAMPLE.splitlines(), start=1)
    expected = {(number, line.rpartition("# E: ")[2]) for number, line in lines if "# E: " in line}
    assert found == expected, said
