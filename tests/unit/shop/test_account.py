"""The demo's report finds missing jobs and effects."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from penstock import JobInfo, JobState
from penstock.dev.autoscaler import Scaled
from shop import account

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP = Scaled(at=1.0, queue="emails", before=0, after=2, bound="Backlog", explanation="because.", arithmetic="2.")
DOWN = replace(UP, before=2, after=0)


def info(job_id: int, task: str = "send_welcome_email", **changes: Any) -> JobInfo:
    made = JobInfo(
        id=job_id,
        state=JobState.COMPLETED,
        queue="emails",
        task=f"shop.jobs:{task}",
        priority=1,
        attempt=1,
        max_attempts=3,
        crashes=0,
        created_at=NOW,
        ready_at=NOW,
        claimed_at=NOW + timedelta(seconds=2),
        args={},
    )
    return msgspec.structs.replace(made, **changes)


async def take(infos: list[JobInfo], *, ids: int = 2, mails: int = 2, scaled: tuple[Scaled, ...] = (UP, DOWN)):
    by_id = {one.id: one for one in infos}

    async def check(job_id: int) -> JobInfo | None:
        return by_id.get(job_id)

    app: Any = SimpleNamespace(client=SimpleNamespace(info_async=check))
    queue = SimpleNamespace(name="emails", workers=())
    session: Any = SimpleNamespace(status=lambda: SimpleNamespace(scaled=scaled, elapsed=9.0, queues=[queue]))
    sink: Any = SimpleNamespace(message_ids=Counter(range(mails)), mails=mails)
    return await account.take(app, list(range(1, ids + 1)), session=session, sink=sink)


GOOD = [info(1), info(2)]


async def test_a_complete_run_has_no_problem() -> None:
    """Two mails sent; two workers started and stopped."""
    found = await take(GOOD)
    assert found.problems == []
    written = io.StringIO()
    account.report(found, Console(file=written, width=120))
    assert "Everything is accounted for." in written.getvalue()
    assert "2.00 s" in written.getvalue()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"infos": [info(1)]}, "1 job not found: [2]"),
        ({"infos": [info(1), info(2, state=JobState.RUNNING)]}, "job 2 shop.jobs:send_welcome_email is running"),
        ({"infos": [info(1), info(2, state=JobState.DEAD, reason="exhausted")]}, "expected completed: exhausted"),
        ({"infos": [info(1), info(2, "failing_job")], "mails": 1}, "is completed, expected dead"),
        ({"mails": 1}, "1 mail arrived, not one for each job"),
        (
            {"infos": [*GOOD, info(3, "resize_image", result="/nowhere/x.png")], "ids": 3},
            "1 file of resize_image missing",
        ),
        ({"infos": [*GOOD, info(3, "generate_report", result="/nowhere/x.pdf")], "ids": 3}, "1 file of generate_rep"),
        ({"scaled": (UP,)}, "queue emails did not scale from zero and back: [2]"),
        ({"scaled": ()}, "queue emails did not scale from zero and back: []"),
    ],
)
async def test_what_is_missing_is_found_and_reported(changes: dict[str, Any], problem: str) -> None:
    """Each by name."""
    found = await take(**{"infos": GOOD, **changes})
    assert problem in "; ".join(found.problems)
    written = io.StringIO()
    account.report(found, Console(file=written, width=120))
    assert "PROBLEM: " in written.getvalue()
    assert "Everything is accounted for." not in written.getvalue()
