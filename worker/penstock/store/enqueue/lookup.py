"""Looks up and cancels a job on the caller's connection: inside its transaction, which may have enqueued the job."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.job import JobInfo

from ..sql_files import statement
from .caller_connection import fetch_value, fetch_value_async


def info_on(connection: Any, job_id: int) -> JobInfo | None:
    """The job with this id, live or ended, as the connection sees it; None if there is none.

    Raises as `caller_connection.fetch_value`; `connection_kind` lists the kinds of connections.
    """
    return _info(fetch_value(connection, statement("info_on"), (str(job_id),), doing="look up a job"))


async def info_on_async(connection: Any, job_id: int) -> JobInfo | None:
    """As `info_on`, for asynchronous connections."""
    return _info(await fetch_value_async(connection, statement("info_on"), (str(job_id),), doing="look up a job"))


def cancel_on(connection: Any, job_id: int, reason: str | None = None) -> str | None:
    """Cancel the job when the caller commits: `cancelled`, `cancelling`, None if it has ended. Raises as `info_on`."""
    return fetch_value(connection, statement("cancel_on"), (str(job_id), reason), doing="cancel")


async def cancel_on_async(connection: Any, job_id: int, reason: str | None = None) -> str | None:
    """As `cancel_on`, for asynchronous connections."""
    return await fetch_value_async(connection, statement("cancel_on"), (str(job_id), reason), doing="cancel")


def _info(text: str | None) -> JobInfo | None:
    return None if text is None else msgspec.json.decode(text, type=JobInfo)
