"""The paths of docs/how-to/move-a-database.md with real copies: dump, logical replication, promotion, pg_upgrade."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from penstock.dev.postgres.install import server_account
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import migrate
from tests.postgres import desk
from tests.postgres.claims.test_store_marks import publish
from tests.postgres.recovery.moved_schedules import add_schedules, schedules_go_on
from tests.postgres.recovery.test_copies import integrity
from tests.support.postgres import Servers, installations, missing
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "move-a-database.md"
OF_THE_SERVER = {"leader", "worker", "schema_version", "schema_function"}
"""Tables whose rows mean nothing in a copy, or are written by `penstock migrate`."""
SOUND: dict[str, Any] = {"sequences": [], "below_marks": [], "orphan_queues": [], "limits": []}


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the account of servers can reach."""
    made = Path(tempfile.mkdtemp(prefix="penstock-move-", dir="/var/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def source(servers: Servers) -> Iterator[EmbeddedPostgres]:
    """The old server, which can publish and be copied."""
    installed = servers.newest.embedded
    if installed is None:
        missing("the servers of PENSTOCK_TEST_URLS cannot be copied")
    settings = {"wal_level": "logical", "shared_buffers": "32MB"}
    with EmbeddedPostgres(bin_dir=installed.installation.bin_dir, durable=False, settings=settings) as made:
        migrate(made.url)
        yield made


@pytest.fixture
def old(source: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """A fresh database `app` on it, migrated."""
    with psycopg.connect(source.url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS app WITH (FORCE)")
        admin.execute("CREATE DATABASE app")
    migrate(source.url_of("app"))
    with psycopg.connect(source.url_of("app"), autocommit=True) as connection:
        yield connection


def work(db: psycopg.Connection[Any]) -> desk.Worker:
    """A hundred jobs done and marked, one running, one deferred, one dead, three ready; the limit is counted."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 100)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 100, token])
    states = ["failed", *["completed"] * 99]
    db.execute(desk.ACK, [worker.id, ids, [token] * 100, states])
    publish(db)
    desk.enqueue(db)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
    desk.enqueue(db, 4, p_delays=[3600, None, None, None])
    db.execute("SELECT penstock.set_limit(%s, 50)", [worker.queue])
    desk.until(lambda: db.execute("SELECT penstock.count_limits()").fetchone() == (0,))
    return worker


def goes_on(db: psycopg.Connection[Any], seen: int) -> None:
    """Sound, no id given twice, and every job that was there or comes runs."""
    assert {key: value for key, value in integrity(db).items() if key in SOUND} == SOUND
    fresh = desk.enqueue(db, 3)
    assert min(fresh) > seen
    worker, token = desk.register(db), desk.token()
    publish(db)
    claimed = [row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, 50, token])]
    assert len(claimed) == 6
    done = db.execute(desk.ACK, [worker.id, claimed, [token] * 6, ["completed"] * 6]).fetchall()
    assert done == []
    desk.lead_for_long(db)
    db.execute("UPDATE penstock.worker SET lease_until = now() - interval '1 min' WHERE id <> %s", [worker.id])
    ((rescued,),) = db.execute("SELECT rescued FROM penstock.rescue('leader', 0.05, true)").fetchall()
    assert rescued == 1
    states = "SELECT state, count(*) FROM penstock.jobs GROUP BY 1"
    assert dict(db.execute(states).fetchall()) == {"completed": 99 + 6, "dead": 1, "scheduled": 2}


def blocks(side: str) -> list[str]:
    """The statements of the page for one side."""
    return re.findall(rf"^```sql {side}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def tool(server: EmbeddedPostgres, name: str, *arguments: str, **options: Any) -> None:
    command = [str(server.installation.bin_dir / name), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert ran.returncode == 0, ran.stderr[-4000:] + ran.stdout[-4000:]


def test_a_restored_dump_goes_on_where_it_was(source, old, servers, tmp_path):
    """Into a database of another server, whose transaction ids are lower."""
    work(old)
    dump = tmp_path / "penstock.dump"
    tool(source, "pg_dump", "--format=custom", "--schema=penstock", f"--file={dump}", source.url_of("app"))
    with servers.newest.database(migrated=False) as new:
        tool(source, "pg_restore", f"--dbname={new.url}", "--no-owner", "--no-privileges", str(dump))
        migrate(new.url)
        with new.connect() as db:
            goes_on(db, 105)


def test_after_logical_replication_no_job_is_lost_and_no_id_given_twice(source, old, servers):
    """The page's own statements; the sequences of the copy stand at the start until `penstock migrate`."""
    work(old)
    add_schedules(old)
    (publication,), (subscription,) = blocks("old"), blocks("new")
    old.execute(publication.encode())
    where = urlsplit(source.url)
    address = make_conninfo(
        host=where.hostname, port=where.port, dbname="app", user=where.username, password=where.password
    )
    with servers.newest.database(migrated=False) as new:
        migrate(new.url)
        with new.connect() as db:
            try:
                for statement in subscription.split(";\n")[:2]:
                    db.execute(re.sub(r"'host=.*?'", lambda _: f"'{address}'", statement).encode())
                pending = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'"
                desk.until(lambda: db.execute(pending).fetchone() == (0,))
                desk.enqueue(old, 2)
                desk.until(lambda: db.execute("SELECT count(*) FROM penstock.job").fetchone() == (8,))
                old.execute("SELECT penstock.cancel_jobs(ARRAY[107, 108]::bigint[])")
                desk.until(lambda: db.execute("SELECT count(*) FROM penstock.job").fetchone() == (6,))
            finally:
                db.execute("DROP SUBSCRIPTION IF EXISTS penstock")
            lagging = {one["sequence"] for one in integrity(db)["sequences"]}
            assert lagging == {"job_id_seq", "job_ord_seq", "queue_id_seq", "schedule_id_seq"}
            db.execute("DELETE FROM penstock.outcome WHERE job_id IN (107, 108)")
            migrate(new.url)
            schedules_go_on(db)
            goes_on(db, 108)


def test_the_publication_of_the_page_has_every_table_but_those_of_the_server(source, old):
    """A new table of the schema is either copied, or listed here."""
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'penstock'::regnamespace AND relkind IN ('r', 'p')"
    every = {name for (name,) in old.execute(f"{tables} AND NOT relispartition".encode())}
    (publication,) = blocks("old")
    assert every - set(re.findall(r"penstock\.(\w+)", publication)) == OF_THE_SERVER


def prepared(home: Path, source: EmbeddedPostgres) -> Path:
    """A home of a server with the password of another; the directory of its cluster, which is empty."""
    _, uid, gid = server_account()
    cluster = home / "cluster"
    cluster.mkdir(mode=0o700, parents=True)
    home.chmod(0o711)
    os.chown(cluster, uid, gid)
    password = home / "password"
    password.write_text(str(urlsplit(source.url).password), encoding="ascii")
    os.chown(password, uid, gid)
    return cluster


def promoted(source: EmbeddedPostgres, home: Path) -> EmbeddedPostgres:
    """A copy of the server as it is now, to be promoted when it starts: whatever commits from now on it has lost."""
    run_as, uid, gid = server_account()
    cluster = prepared(home, source)
    where = urlsplit(source.url)
    address = make_conninfo(host=where.hostname, port=where.port, user=where.username, password=where.password)
    tool(source, "pg_basebackup", f"--pgdata={cluster}", "--checkpoint=fast", f"--dbname={address}", cwd="/", **run_as)
    (cluster / "recovery.signal").touch()
    os.chown(cluster / "recovery.signal", uid, gid)
    settings = {
        "restore_command": "false",
        "recovery_target": "immediate",
        "recovery_target_action": "promote",
        "shared_buffers": "32MB",
        "wal_level": "logical",
    }
    return EmbeddedPostgres(bin_dir=source.installation.bin_dir, data_dir=home, durable=False, settings=settings)


def test_a_promoted_server_that_lost_commits_mixes_up_no_worker_and_no_job(source, old, home):
    """It gives the lost numbers again: no id of a worker is shared, and no old attempt touches a new job."""
    worker = work(old)
    copy = promoted(source, home / "copy")
    lost = [desk.register(old) for _ in range(40)]
    ids, token = desk.enqueue(old, 40), desk.token()
    old.execute(desk.CLAIM, [lost[0].id, lost[0].queue, 43, token])
    with copy, psycopg.connect(copy.url_of("app"), autocommit=True) as db:
        recovering = "SELECT pg_is_in_recovery()"
        eventually(lambda: db.execute(recovering).fetchone() == (False,), "the copy is promoted, after its first reads")
        new = [desk.register(db) for _ in range(40)]
        assert {one.id // 10**9 for one in new} & {one.id // 10**9 for one in lost}, "the sequence gives numbers again"
        assert not {one.id for one in new} & {one.id for one in [*lost, worker]}
        again = desk.enqueue(db, 40)
        assert set(again) & set(ids), "and those of jobs"
        query = "SELECT jsonb_agg(to_jsonb(j) ORDER BY j.id) FROM penstock.job AS j"
        before = db.execute(query).fetchone()
        for forgotten in lost[:2]:
            said = db.execute(desk.RENEW, [forgotten.id, 60, ids, [token] * 40]).fetchall()
            assert said == [(None, ids, None)]
            with pytest.raises(psycopg.Error, match="not running with a live lease"):
                db.execute(desk.CLAIM, [forgotten.id, forgotten.queue, 1, desk.token()])
            said = db.execute(desk.ACK, [forgotten.id, ids, [token] * 40, ["completed"] * 40]).fetchall()
            assert {state for _, _, state in said} == {None}
            db.execute("SELECT penstock.deregister(%s, true)", [forgotten.id])
        assert db.execute(query).fetchone() == before
        assert db.execute("SELECT count(*) FROM penstock.worker").fetchone() == (41,)
        assert {key: value for key, value in integrity(db).items() if key in SOUND} == SOUND


def upgrade(before: EmbeddedPostgres, after: EmbeddedPostgres, home: Path, cluster: Path) -> None:
    """Make a cluster of the new version, and move the old one into it by pg_upgrade."""
    run_as, _, _ = server_account()
    password = home / "new" / "password"
    checksums = ["--no-data-checksums"] if after.installation.major >= 18 else []
    tool(
        after,
        "initdb",
        f"--pgdata={cluster}",
        "--username=penstock",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        *checksums,
        cwd="/",
        **run_as,
    )
    environment = {**os.environ, "PGPASSWORD": password.read_text(encoding="ascii")}
    tool(
        after,
        "pg_upgrade",
        "--username=penstock",
        f"--old-bindir={before.installation.bin_dir}",
        f"--new-bindir={after.installation.bin_dir}",
        f"--old-datadir={home / 'old' / 'cluster'}",
        f"--new-datadir={cluster}",
        "--no-sync",
        cwd=cluster,
        env=environment,
        **run_as,
    )


def test_an_upgraded_cluster_goes_on_where_it_was(home):
    """From the oldest server found to the newest, by pg_upgrade."""
    found = installations()
    if len(found) < 2:
        missing("pg_upgrade needs two versions of PostgreSQL")
    newest, other = found[:2]
    before = EmbeddedPostgres(bin_dir=other.bin_dir, data_dir=home / "old", durable=False)
    with before:
        migrate(before.url)
        with psycopg.connect(before.url, autocommit=True) as db:
            work(db)
        after = EmbeddedPostgres(bin_dir=newest.bin_dir, data_dir=home / "new", durable=False)
        cluster = prepared(home / "new", before)
        before.stop()
    upgrade(before, after, home, cluster)
    with after:
        migrate(after.url)
        with psycopg.connect(after.url, autocommit=True) as db:
            goes_on(db, 105)
