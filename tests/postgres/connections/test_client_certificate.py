"""A server that lets nobody in without a certificate of their own (`clientcert=verify-full`): operator and worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from penstock.dev.postgres.install import server_account
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.errors import DatabaseUnavailable, InvalidClientCertificate
from penstock.store import check_schema, migrate
from penstock_operator.database.address import Address
from penstock_operator.database.client import DatabaseClient
from tests.postgres import desk
from tests.postgres.workers import WorkerProcess
from tests.support import strays
from tests.support.certificates import authority, signed
from tests.support.postgres import installations, missing

HBA = """\
host all penstock 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full
"""


@dataclass(frozen=True)
class Certified:
    """The server, the certificates, and the URL without a login."""

    folder: Path
    admin: str
    place: str

    def url(self, login: str, **more: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in more.items())
        return f"postgresql://{login}:p@{self.place}{'?' if query else ''}{query}"

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


@contextmanager
def _folder() -> Iterator[Path]:
    """Of the account that the server runs as, which may read nothing of ours."""
    _, uid, gid = server_account()
    folder = Path(tempfile.mkdtemp(prefix="penstock-tls-"))
    try:
        authority(folder)
        signed(folder, "server", subject="server", alternative="IP:127.0.0.1")
        for login in ("shop_worker", "shop_operator"):
            signed(folder, login, subject=login)
        (folder / "pg_hba.conf").write_text(HBA)
        if os.geteuid() == 0:
            for one in (folder, *folder.iterdir()):
                os.chown(one, uid, gid)
        yield folder
    finally:
        shutil.rmtree(folder)


def _has_tls(programs: Path) -> bool:
    if not (programs / "pg_config").exists():
        return False
    done = subprocess.run([programs / "pg_config", "--configure"], capture_output=True, text=True, check=False)
    return "openssl" in done.stdout


@pytest.fixture(scope="module")
def certified() -> Iterator[Certified]:
    """A migrated server with two logins; its superuser, for the test itself, needs no certificate."""
    found = [one for one in installations() if _has_tls(one.bin_dir)]
    if not found:
        missing("no PostgreSQL that is built with TLS: install the system's, the wheel's are not")
    with _folder() as folder:
        settings = {
            "ssl": "on",
            "ssl_cert_file": f"{folder}/server.crt",
            "ssl_key_file": f"{folder}/server.key",
            "ssl_ca_file": f"{folder}/ca.crt",
            "hba_file": f"{folder}/pg_hba.conf",
            "shared_buffers": "16MB",
        }
        server = EmbeddedPostgres(bin_dir=found[0].bin_dir, durable=False, settings=settings)
        strays.keep(server.pids)
        with server:
            with psycopg.connect(server.url, autocommit=True) as admin:
                for login in ("shop_worker", "shop_operator"):
                    admin.execute(f"CREATE ROLE {login} LOGIN SUPERUSER PASSWORD 'p'".encode())
            migrate(server.url)
            yield Certified(folder, server.url, server.url.rpartition("@")[2])


def client(certified: Certified, *, pair: str | None = "shop_operator", key: str | None = None) -> DatabaseClient:
    """The operator's login in a process of its own, with a pair of files or parts of two."""
    url = certified.url("shop_operator", sslmode="verify-full")
    shown = None if pair is None else certified.text(f"{pair}.crt")
    secret = None if pair is None else certified.text(f"{key or pair}.key")
    address = Address(url=url, direct_url=url, ca=certified.text("ca.crt"), certificate=shown, key=secret)
    return DatabaseClient(address=address, holder="operator-0", woken=lambda: None)


async def test_the_operator_shows_its_certificate_and_nothing_of_it_is_in_its_log(certified: Certified, capfd):
    """To the server that asks for it, queries and LISTEN alike."""
    database = client(certified)
    await database.open()
    try:
        await database.sample([])
        assert database.listening
    finally:
        await database.stop()
    assert "PRIVATE" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("pair", [None, "shop_worker"])
async def test_without_a_certificate_or_with_somebody_elses_the_operator_is_refused(certified: Certified, pair):
    """The common name is the login's."""
    database = client(certified, pair=pair)
    with pytest.raises(DatabaseUnavailable):
        await database.open()
    await database.stop()


async def test_a_pair_that_does_not_fit_is_refused_before_anything_is_sent(certified: Certified):
    """The process says which of the two, in one sentence, and stays there for the next one."""
    database = client(certified, key="shop_worker")
    with pytest.raises(InvalidClientCertificate, match=r"tls\.key does not match tls\.crt"):
        await database.open()
    await database.stop()


def test_a_worker_shows_the_certificate_that_is_mounted(certified: Certified, trace: Path, tmp_path: Path):
    """A file that all may read, as those of a mounted Secret; the job runs over TLS, and without it none does."""
    url = certified.url("shop_worker")
    with pytest.raises(DatabaseUnavailable):
        check_schema(url)
    key = tmp_path / "tls.key"
    key.write_text(certified.text("shop_worker.key"))
    key.chmod(0o444)
    worker = WorkerProcess(
        url,
        trace,
        database_certificate_file=certified.folder / "shop_worker.crt",
        database_key_file=key,
        database_ca_file=certified.folder / "ca.crt",
    )
    try:
        with psycopg.connect(certified.admin, autocommit=True) as admin:
            admin.execute("SELECT penstock.enqueue('q', 'add', '{\"a\": 1, \"b\": 2}')")
            desk.until(lambda: admin.execute("SELECT 1 FROM penstock.outcome WHERE state = 'completed'").fetchone())
        code, said = worker.end()
    finally:
        worker.kill()
    assert code == 0, said
    assert "PRIVATE" not in said
