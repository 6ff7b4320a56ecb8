"""A PostgreSQL server as a child process, for `penstock dev`, the demo and the tests.

Owns one server process and its directory. Must not use SQL: the server writes its state to `postmaster.pid`, which
pg_ctl reads too. The server listens on 127.0.0.1 only, requires a random password (SCRAM), and is stopped by the reaper
if this process is killed. A server started through pg_ctl would not be a child and would survive its parent.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import ConfigurationError, DatabaseUnavailable

from ..reaper import Reaper
from .install import Installation, find_installation, reachable, server_account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

USER = "penstock"
HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
_ALWAYS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_destination": "stderr",
}


class EmbeddedPostgres:
    """An embedded server. Start and stop block for about a second: in an event loop, call them in a thread.

    Args:
        bin_dir: directory of `postgres` and `initdb`; default: see `find_installation`.
        data_dir: directory for the server's files, log and password; created if missing, and kept. None: a private
            temporary directory, removed by `close()`.
        durable: False turns fsync off, which is fast; a crash of the machine may lose all data.
        temporary_root: where the temporary directory is created; default: the system's place for such files.
        settings: further server settings, as `{"max_connections": "200"}`.

    `stop()` and `start()` may alternate and keep the port; `close()`, or leaving the context, is final.

    Raises:
        ConfigurationError: PostgreSQL is not installed, or `data_dir` belongs to another major version.
        DatabaseUnavailable: the server did not start; the message contains its last log lines.
    """

    def __init__(
        self,
        *,
        bin_dir: Path | str | None = None,
        data_dir: Path | str | None = None,
        durable: bool = True,
        temporary_root: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._run_as, self._uid, self._gid = server_account()
        self._installation = reachable(find_installation(bin_dir), self._run_as)
        self._temporary = data_dir is None
        self._home = Path(data_dir).absolute() if data_dir is not None else None
        self._durable = durable
        self._temporary_root = Path(tempfile.gettempdir()) if temporary_root is None else temporary_root
        self._settings = {**_ALWAYS, **({} if durable else _NOT_DURABLE), **(settings or {})}
        self._reaper: Reaper | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._password = ""

    @property
    def installation(self) -> Installation:
        """The PostgreSQL installation in use."""
        return self._installation

    @property
    def version(self) -> str:
        """The server's version, as 18.4."""
        return self._installation.version

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running().pid

    def pids(self) -> list[int]:
        """The running child processes of this server: the postmaster and the reaper."""
        return [one.pid for one in (self._process, self._reaper) if one is not None]

    @property
    def url(self) -> str:
        """URL of the database `postgres` with its password: not for logs."""
        return self.url_of("postgres")

    @property
    def log_path(self) -> Path:
        """The server's log."""
        assert self._home is not None, "the server was never started"
        return self._home / "postgres.log"

    def url_of(self, database: str) -> str:
        """URL of `database` with its password: not for logs."""
        assert self._port is not None, "the server was never started"
        return f"postgresql://{USER}:{self._password}@{HOST}:{self._port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Create the directory if needed, start the server, and wait until it accepts connections."""
        try:
            if self._reaper is None:
                self._reaper = Reaper()
            self._prepare(self._reaper)
            self._start(self._reaper)
        except BaseException:
            self.close()
            raise

    def stop(self, *, immediately: bool = False) -> None:
        """Shut down in fast mode: open transactions are rolled back. After 10 seconds the server is killed.

        Args:
            immediately: use SIGQUIT, as in a crash; the next start recovers.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reaper is not None:
            self._reaper.forget(process.pid)

    def close(self) -> None:
        """Stop the server, dismiss the reaper, and remove a temporary directory."""
        self.stop()
        if self._temporary and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None
        reaper, self._reaper = self._reaper, None
        if reaper is not None:
            reaper.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise DatabaseUnavailable("the embedded PostgreSQL server is not running")
        return self._process

    def _prepare(self, reaper: Reaper) -> None:
        """Create the directory, the password and the cluster, unless an earlier start has.

        If the server runs under another account, that account owns only `cluster`: it must not be able to place links
        where this process writes.
        """
        if self._home is None:
            root = _root_for(self._temporary_root.resolve(), self._run_as != {})
            self._home = Path(tempfile.mkdtemp(prefix="penstock-pg-", dir=root))
            reaper.remove(self._home)
        cluster, password = self._home / "cluster", self._home / "password"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._run_as:
            self._home.chmod(0o711)
        if not cluster.exists():
            cluster.mkdir(mode=0o700)
            self._own(cluster)
        if not password.exists():
            descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, secrets.token_urlsafe(24).encode())
            os.close(descriptor)
            self._own(password)
        self._password = password.read_text(encoding="ascii")
        made = cluster / "PG_VERSION"
        if not made.exists():
            self._initdb(password)
        elif (was := made.read_text().strip()) != str(self._installation.major):
            raise ConfigurationError(f"{self._home} belongs to PostgreSQL {was}, but {self.version} is installed")

    def _initdb(self, password: Path) -> None:
        assert self._home is not None
        command = [str(self._installation.bin_dir / "initdb"), "--pgdata", str(self._home / "cluster")]
        command += ["--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--locale", "C", *([] if self._durable else ["--no-sync"])]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_clean(), cwd=self._home, **self._run_as
        )
        if done.returncode != 0:
            raise DatabaseUnavailable(f"initdb of PostgreSQL {self.version} failed: {done.stderr.strip()[-2000:]}")

    def _start(self, reaper: Reaper) -> None:
        """Start on the last port, or on a free one; another process may take that first, so three are tried."""
        ports = [self._port] if self._port else [_free_port() for _ in range(3)]
        for number, port in enumerate(ports, 1):
            process = self._spawn(port)
            reaper.watch(process.pid, with_signal=signal.SIGINT)
            self._process = process
            if self._wait_until_ready(process):
                self._port = port
                return
            self.stop()
            if number == len(ports) or "could not bind" not in self._log_tail():
                raise DatabaseUnavailable(f"PostgreSQL {self.version} did not start: {self._log_tail()}")

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        assert self._home is not None
        command = [str(self._installation.bin_dir / "postgres"), "-D", str(self._home / "cluster"), "-p", str(port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self.log_path.touch(mode=0o600)
        with self.log_path.open("ab") as log:
            return (
                subprocess.Popen(  # its own session: Ctrl-C must not reach the server before the workers have drained
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_clean(),
                    cwd=self._home,
                    start_new_session=True,
                    **self._run_as,
                )
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Line 1 of postmaster.pid is the process id, line 8 the state: `ready` once it accepts connections."""
        assert self._home is not None
        file = self._home / "cluster" / "postmaster.pid"
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                lines = file.read_text().splitlines()
                if len(lines) >= 8 and lines[0].strip() == str(process.pid) and lines[7].strip() == "ready":
                    return True
            time.sleep(0.02)
        return False

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " | ".join(lines[-8:])

    def _own(self, path: Path) -> None:
        if self._run_as:
            os.chown(path, self._uid, self._gid)


def _clean() -> dict[str, str]:
    """The environment without the variables of libpq and the server, which would redirect the programs."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _root_for(wanted: Path, for_another_account: bool) -> str:
    """The directory; /var/tmp if another account cannot reach it, as below a private home directory."""
    if not for_another_account or all(one.stat().st_mode & 0o001 for one in (wanted, *wanted.parents)):
        return str(wanted)
    return "/var/tmp"  # noqa: S108 - mkdtemp creates a private directory there
