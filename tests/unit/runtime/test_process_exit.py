"""SIGTERM to PID 1 before a process listens itself: without a handler of ours the kernel drops it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.pid_one import PidOne, needs_root, pid_one
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
WORKER = [sys.executable, "-m", "penstock", "worker", "waiting_app:app"]
APP = """
import os, sys, time
from pathlib import Path

from penstock import App

Path("imported").touch()
while not Path("gate").exists():
    try:
        time.sleep(0.01)
    except BaseException:
        Path("caught").touch()
app = App()
"""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing: a caller waits for its answer for long."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url(server: socket.socket) -> dict[str, str]:
    """What leads a command there."""
    there = f"postgresql://u:p@127.0.0.1:{server.getsockname()[1]}/x"
    return {"PENSTOCK_DATABASE_URL": there, "PENSTOCK_DIRECT_URL": there, "PENSTOCK_QUEUE": "q"}


@contextmanager
def worker(folder: Path, server: socket.socket, app: str = APP) -> Iterator[PidOne]:
    """A worker as PID 1 that imports the App from the folder."""
    (folder / "waiting_app.py").write_text(app)
    with pid_one(WORKER, {**url(server), "PENSTOCK_HTTP_PORT": "0"}, cwd=folder) as started:
        eventually((folder / "imported").exists, "the application is being imported")
        yield started


@needs_root
def test_a_worker_that_imports_its_application_ends_on_sigterm(tmp_path, silent):
    """With 0, for nothing was claimed, though the application catches whatever is raised in its import."""
    with worker(tmp_path, silent) as started:
        assert started.terminated()[0] == 0
    assert not (tmp_path / "caught").exists()


@needs_root
def test_a_worker_between_its_start_and_its_listening_ends_on_sigterm(tmp_path, silent):
    """The check of the database has passed and has put back the handlers that it found."""
    script = """
from pathlib import Path
from penstock.runtime.process_exit import leaving_at_once
from penstock.runtime.startup import Startup
from penstock.settings import Settings
with leaving_at_once():
    assert Startup(lambda: None, Settings(database_url="postgresql://x", queue="q", http_port=0)).wait()
    Path("imported").touch()
    __import__("threading").Event().wait()
"""
    with pid_one([sys.executable, "-c", script], url(silent), cwd=tmp_path) as started:
        eventually((tmp_path / "imported").exists, "the start is over")
        assert started.terminated()[0] == 0


@needs_root
@pytest.mark.parametrize("command", [["migrate"], ["doctor"]])
def test_a_command_that_waits_for_its_database_ends_on_sigterm(tmp_path, silent, command):
    """Pods of hooks run these as PID 1: 143, for it did not do what it was asked for."""
    with pid_one([sys.executable, "-m", "penstock", *command], url(silent), cwd=tmp_path) as started:
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            assert started.terminated()[0] == 143


def test_what_an_application_forks_while_it_is_imported_dies_of_sigterm_as_ever():
    """It inherits the handler, and its exit code shows that it was terminated."""
    script = """
import os, signal
ready, forked = os.pipe()
from penstock.runtime.process_exit import leaving_at_once
with leaving_at_once():
    if (child := os.fork()) == 0:
        os.write(forked, b".")  # from here on: Python forgets what came within the fork
        signal.pause()
        os._exit(3)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM, status
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


AFTER = """
import atexit, logging, sys, threading, time
from penstock.runtime.process_exit import leave_within

from penstock.runtime.observe.logs import TextFormatter
logging.basicConfig()
logging.root.handlers[0].setFormatter(TextFormatter())
what = sys.argv[1]
print("said before")
leave_within(0.2, 5)
if what == "thread":
    threading.Thread(target=time.sleep, args=(600,), name="of the application").start()
elif what == "exit handler":
    atexit.register(time.sleep, 600)
elif what == "lifespan":
    time.sleep(600)
elif what == "closed output":
    sys.stdout.close()
    sys.stderr.close()
    time.sleep(600)
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("what", "code"), [("thread", 5), ("exit handler", 5), ("lifespan", 5), ("closed output", 5), ("nothing", 3)]
)
def test_nothing_of_an_application_keeps_the_process_of_a_worker_that_has_ended(what, code):
    """Threads that are no daemons, exit handlers and lifespans that hang: the process says so and ends."""
    ended = subprocess.run(
        [sys.executable, "-c", AFTER, what], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (code, "said before\n")
    assert ("process did not exit" in ended.stderr) == (what not in {"nothing", "closed output"})
    assert ("of the application" in ended.stderr) == (what == "thread")


PRINTING = APP.replace('Path("imported").touch()', "print('said at once')\nPath(\"imported\").touch()")


def test_what_a_piped_worker_prints_is_there_at_once(tmp_path, silent):
    """Not when its buffer is full, or when it exits: in a container standard output is a pipe."""
    (tmp_path / "waiting_app.py").write_text(PRINTING)
    environment = {**os.environ, **url(silent), "PENSTOCK_HTTP_PORT": "0"}
    environment.pop("PYTHONUNBUFFERED", None)
    with subprocess.Popen(WORKER, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "said at once\n"
            assert started.poll() is None
        finally:
            started.kill()
