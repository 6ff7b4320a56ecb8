"""The last net under attempts: finds slots whose asyncio task is gone and left no outcome.

Should never find any. Code of the application can end or close a task of ours from outside, or leave our own steps
around an attempt too little stack or memory; then the job would be renewed and never run for as long as its worker
lives. Only looks; the consumers free the slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from penstock.job import ClaimedJob

Running = Mapping[int, tuple[ClaimedJob, asyncio.Task[None]]]


def without_outcome(running: Running) -> list[tuple[ClaimedJob, BaseException]]:
    """Attempts whose task has ended, or has gone on to another job; each with the error that says so."""
    found: list[tuple[ClaimedJob, BaseException]] = []
    newest = {id(task): job for job, task in running.values()}
    for job, task in running.values():
        if task.done() or newest[id(task)] is not job:
            error = RuntimeError("the asyncio task of this attempt ended without an outcome")
            if task.done() and not task.cancelled():
                error.__cause__ = task.exception()
            found.append((job, error))
    return found
