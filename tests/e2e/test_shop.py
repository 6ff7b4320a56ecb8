"""The main job, whole: the shop's manifests, real workers from zero and back to zero, every job accounted for."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

import pytest

from shop import jobs
from shop.pictures import pictures

from .shop import Shop, shop

if TYPE_CHECKING:
    from pathlib import Path

    from penstock import NewJob
    from penstock.dev.processes import WorkerProcess

pytestmark = pytest.mark.timeout(900)

MIX: list[NewJob] = [
    *(jobs.hello.job(f"Person {number}") for number in range(30)),
    *(jobs.send_welcome_email.job(user_id) for user_id in range(150)),
    *(jobs.resize_image.job(name, side, side) for name in pictures() for side in range(20, 180, 20)),
    *(jobs.heavy_job.job(ms=5) for _ in range(204)),
    *(jobs.sync_user_data.job(user_id) for user_id in range(1, 41)),
    *(jobs.generate_report.job(date(2026, month, 1), date(2026, month, 28)) for month in range(1, 5)),
    *(jobs.failing_job.job(times=1 + number % 2) for number in range(16)),
    *(jobs.failing_job.job() for _ in range(8)),
]
NEVER_SUCCEED = 8

FINAL = "SELECT job_id, count(*) FROM penstock.outcome WHERE final GROUP BY job_id"
TWICE = "SELECT job_id, token, count(*) FROM penstock.outcome GROUP BY job_id, token HAVING count(*) > 1"
BY_OUTCOME = "SELECT task, state, count(*) FROM penstock.outcome GROUP BY task, state"
ENDS = "SELECT state, count(*) FROM penstock.jobs GROUP BY state"


async def test_five_hundred_mixed_jobs_run_from_zero_to_zero_and_every_one_is_accounted_for(
    pg_url: str, tmp_path: Path
) -> None:
    """Ends, effects, replica counts, and the workers' own metrics against the store's counts.

    The queue with steps gives nothing out until its second step is decided, so that no worker is too quick for it.
    """
    assert len(MIX) == 500
    async with shop(pg_url, tmp_path) as running:
        assert running.session.fleet.workers() == []
        assert running.sql("SELECT penstock.pause('analytics', true)") == [(True,)]
        ids = await running.enqueue(MIX)
        await running.until(lambda: max(running.replicas("analytics")) > 1, "a second step")
        running.sql("SELECT penstock.pause('analytics', false)")
        await running.until_at_rest()

        assert dict(running.sql(ENDS)) == {"completed": len(MIX) - NEVER_SUCCEED, "dead": NEVER_SUCCEED}
        assert dict(running.sql(FINAL)) == dict.fromkeys(ids, 1)
        assert running.sql(TWICE) == []
        assert running.sink.message_ids == Counter({f"<welcome-{number}@shop.example.com>": 1 for number in range(150)})
        written = Counter(path.suffix for path in (tmp_path / "output").rglob("*.*"))
        assert (written.pop(".json"), written.pop(".pdf"), written.total()) == (40, 4, len(pictures()) * 8)
        for queue in ("emails", "images", "analytics", "reports"):
            counts = running.replicas(queue)
            assert counts[0] == counts[-1] == 0
            assert max(counts) >= 1
        stored = Counter({(task, state): count for task, state, count in running.sql(BY_OUTCOME)})
        assert running.fleet.totals() == stored
        assert stored["shop.jobs:failing_job", "retry"] == 16 + 8 + 2 * NEVER_SUCCEED


async def test_a_worker_killed_in_the_middle_loses_nothing_and_nothing_is_accepted_twice(
    pg_url: str, tmp_path: Path
) -> None:
    """SIGKILL while it holds jobs: their lease runs out, others run them, and each has one final outcome."""
    async with shop(pg_url, tmp_path, lease_seconds=2) as running:
        ids = await running.enqueue([jobs.hello.job(f"Person {number}") for number in range(100)])
        victim, claimed = await frozen(running)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        await running.until_at_rest()

        assert dict(running.sql(ENDS)) == {"completed": len(ids)}
        assert dict(running.sql(FINAL)) == dict.fromkeys(ids, 1)
        assert running.sql(TWICE) == []
        crashed = [job for (job,) in running.sql("SELECT job_id FROM penstock.outcome WHERE final AND crashes > 0")]
        assert set(claimed) <= set(crashed)
        assert f"[{victim.name}] exited with code -9" in running.log.read_text()


async def test_a_worker_frozen_past_its_lease_and_thawed_changes_nothing(pg_url: str, tmp_path: Path) -> None:
    """Its jobs ran elsewhere meanwhile, and what it says afterwards is refused: each has one final outcome."""
    async with shop(pg_url, tmp_path, lease_seconds=2) as running:
        ids = await running.enqueue([jobs.hello.job(f"Person {number}") for number in range(100)])
        victim, claimed = await frozen(running)
        assert victim.pid is not None
        try:
            again = "SELECT 1 FROM penstock.outcome WHERE final AND job_id = ANY (%s) AND crashes > 0"
            await running.until(lambda: running.sql(again, claimed), "a job that it had claimed ran elsewhere")
        finally:
            os.kill(victim.pid, signal.SIGCONT)
        await running.until_at_rest()

        assert dict(running.sql(ENDS)) == {"completed": len(ids)}
        assert dict(running.sql(FINAL)) == dict.fromkeys(ids, 1)
        assert running.sql(TWICE) == []


async def frozen(running: Shop) -> tuple[WorkerProcess, list[int]]:
    """A worker stopped by SIGSTOP while it holds jobs, and their ids; none of its statements is under way."""
    holding = (
        "SELECT w.pod, array_agg(j.id) FROM penstock.job AS j JOIN penstock.worker AS w ON w.id = j.worker "
        "GROUP BY w.pod ORDER BY count(*) DESC"
    )
    under_way = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE state = 'active' AND application_name LIKE 'penstock%%' AND query_start <= %s"
    )
    found: list[tuple[WorkerProcess, list[int]]] = []

    def sampled() -> bool:
        workers = {worker.name: worker for worker in running.session.fleet.workers()}
        found[:] = [(workers[pod], ids) for pod, ids in running.sql(holding) if pod in workers]
        return bool(found)

    while True:
        await running.until(sampled, "a worker holds jobs")
        victim = found[0][0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGSTOP)
        claimed = None
        try:
            [(stopped,)] = running.sql("SELECT clock_timestamp()")
            await running.until(lambda at=stopped: not running.sql(under_way, at), "its last statement has ended")  # type: ignore[misc]
            if claimed := dict(running.sql(holding)).get(victim.name):
                return victim, claimed
        finally:
            if not claimed:
                os.kill(victim.pid, signal.SIGCONT)  # it had just handed in the last of them
