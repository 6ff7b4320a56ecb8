"""A failover that loses the last commits, under load: what the promoted database knows of comes out right.

The server is stopped, its files are copied, it goes on for a while, is killed, and comes back with the copy: as a
standby that lagged. Numbers that were assigned meanwhile are assigned again.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.chaos.faults import children
from tests.chaos.fleet import LEASE_SECONDS, WORKERS, Producer, Site
from tests.chaos.site import all_serve, open_site, quiet
from tests.support.postgres import Database, Servers
from tests.support.waiting import eventually

FAILOVERS = 2
JOBS = 40


@pytest.fixture
def site(servers: Servers, pg_newest: Database, tmp_path: Path) -> Iterator[Site]:
    """A server whose files can be replaced; the ledger of runs is on another one."""
    with open_site(servers, pg_newest, tmp_path) as made:
        yield made


def copied(site: Site, folder: Path) -> Path:
    """The server's files of this moment; it goes on."""
    data = site.server.log_path.parent / "cluster"
    site.server.stop()
    shutil.copytree(data, folder, symlinks=True, copy_function=shutil.copy2)
    owner = data.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    site.server.start()
    return folder


def promoted(site: Site, copy: Path) -> None:
    """The server dies, and the copy serves at its address."""
    data = site.server.log_path.parent / "cluster"
    backends = children(site.server.pid)
    os.kill(site.server.pid, signal.SIGKILL)
    site.server.stop()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in backends), "the backends are gone")
    shutil.rmtree(data)
    copy.rename(data)
    site.server.start()


def worked(producers: list[Producer], before: int) -> bool:
    """Whether so many jobs were committed since."""
    done = sum(len(producer.acknowledged) for producer in producers)
    assert done >= before + JOBS, f"{done - before} jobs were committed"
    return True


def contradictions(admin: psycopg.Connection[Any], ledger: psycopg.Connection[Any]) -> list[str]:
    """Of what the promoted database shows, with itself and with what really ran."""
    ended = set(ledger.execute("SELECT job, token, worker FROM ran WHERE phase = 'end'"))
    completed = admin.execute(
        "SELECT job_id, token, worker FROM penstock.outcome WHERE final AND state = 'completed'"
    ).fetchall()
    checks = {
        "claims that ran more than once": ledger.execute(
            "SELECT job, token FROM ran WHERE phase = 'start' GROUP BY job, token HAVING count(*) > 1"
        ).fetchall(),
        "jobs that are not over": admin.execute(
            "SELECT id, state FROM penstock.jobs WHERE state NOT IN ('completed', 'dead', 'cancelled')"
        ).fetchall(),
        "committed jobs that are lost": admin.execute(
            "SELECT o.id FROM (SELECT unnest(ids) AS id FROM orders) AS o "
            "WHERE NOT EXISTS (SELECT FROM penstock.jobs AS j WHERE j.id = o.id)"
        ).fetchall(),
        "attempts with two outcomes": admin.execute(
            "SELECT job_id, token FROM penstock.outcome WHERE token IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
        ).fetchall(),
        "jobs with two final outcomes": admin.execute(
            "SELECT job_id FROM penstock.outcome WHERE final GROUP BY 1 HAVING count(*) > 1"
        ).fetchall(),
        "outcomes accepted from an attempt that did not end": [row for row in completed if row not in ended],
    }
    return [f"{what}: {rows[:10]} ({len(rows)})" for what, rows in checks.items() if rows]


@pytest.mark.timeout(800)
def test_after_failovers_that_lose_commits_the_database_that_is_left_ends_all_of_its_jobs_once(
    site: Site, pg_newest: Database, tmp_path: Path
):
    """Old workers go on with registrations and claims that were lost, new ones get numbers that were given before."""
    producers = [Producer(site, 7 + number) for number in range(2)]
    site.staff()
    eventually(lambda: all_serve(site), "the workers serve")
    for producer in producers:
        producer.start()
    try:
        for failover in range(FAILOVERS):
            copy = copied(site, tmp_path / f"copy-{failover}")
            made = sum(len(producer.acknowledged) for producer in producers)
            site.workers.pop().kill()  # the one that comes for it has a registration that will be lost
            eventually(lambda: all_serve(site), "another worker serves")
            eventually(lambda made=made: worked(producers, made), "jobs are committed that will be lost", seconds=120)  # type: ignore[misc]
            promoted(site, copy)
            made = sum(len(producer.acknowledged) for producer in producers)
            eventually(lambda made=made: worked(producers, made), "jobs are committed again", seconds=120)  # type: ignore[misc]
            site.staff()
    finally:
        for producer in producers:
            producer.stop()
    eventually(lambda: quiet(site), "every job ends", seconds=240)
    eventually(lambda: all_serve(site), "the workers serve")
    assert [worker.terminate() for worker in site.workers] == [0] * WORKERS
    with site.admin() as admin, pg_newest.connect() as ledger:
        assert contradictions(admin, ledger) == []
    assert site.ended_by_themselves == [], f"lease of {LEASE_SECONDS:g} s"
