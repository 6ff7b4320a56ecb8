"""Finds slots whose asyncio task is gone without an outcome, as a last resort.

It should never find any. The application can cancel or close a task of the worker from outside, or leave the worker's
own code around an attempt too little stack or memory; the job would then be renewed and never run for as long as its
worker lives. Only finds them; the consumers free the slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from penstock.job import ClaimedJob

Running = Mapping[int, tuple[ClaimedJob, asyncio.Task[None]]]


def without_outcome(running: Running) -> list[tuple[ClaimedJob, BaseException]]:
    """Attempts whose task is done, or runs another job by now; each with an error that says so."""
    found: list[tuple[ClaimedJob, BaseException]] = []
    newest = {id(task): job for job, task in running.values()}
    for job, task in running.values():
        if task.done() or newest[id(task)] is not job:
            error = RuntimeError("the asyncio task of this attempt is gone without an outcome")
            if task.done() and not task.cancelled():
                error.__cause__ = task.exception()
            found.append((job, error))
    return found
