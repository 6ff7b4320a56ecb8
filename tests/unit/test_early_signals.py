"""Signals to PID 1 before a process has handlers of its own: at a gate within its imports, not after a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import penstock
from tests.support.pid_one import PidOne, needs_root, pid_one
from tests.support.waiting import eventually

BIN = Path(sys.executable).parent
SCRIPT, MODULE = [str(BIN / "penstock")], [sys.executable, "-m", "penstock"]
GATE = """
import importlib.abc, os, sys, time
from pathlib import Path


class Gate(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == os.environ["GATED"]:
            Path("reached").touch()
            while not Path("open").exists():
                time.sleep(0.01)


sys.meta_path.insert(0, Gate())
"""
"""A `sitecustomize`: the import of one module waits until the file `open` is there."""

GATES = {
    "before the expensive imports": "penstock.cli",
    "within them": "typer",
    "after them, before the command": "penstock.cli.workers",
    "before the application": "penstock.app.loading",
    "after the application, before the worker": "penstock.runtime.main",
    "before the registration": "penstock.runtime.event_loop",
}


@contextmanager
def gated(folder: Path, module: str, command: list[str]) -> Iterator[PidOne]:
    """The command as PID 1, whose import of a module waits."""
    (folder / "sitecustomize.py").write_text(GATE)
    (folder / "shop.py").write_text("from penstock import App\n\napp = App()\n")
    environment = {
        "GATED": module,
        "PYTHONPATH": str(folder),
        "PENSTOCK_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/x",
        "PENSTOCK_QUEUE": "q",
        "PENSTOCK_HTTP_PORT": "0",
    }
    with pid_one(command, environment, cwd=folder) as started:
        eventually((folder / "reached").exists, f"{command} imports {module}")
        yield started


@needs_root
@pytest.mark.parametrize("program", [SCRIPT, MODULE], ids=["script", "module"])
@pytest.mark.parametrize("module", GATES.values(), ids=GATES.keys())
def test_a_worker_that_has_claimed_nothing_exits_with_0(tmp_path, program, module):
    """At each step of its start, by both ways to start it."""
    with gated(tmp_path, module, [*program, "worker", "shop:app"]) as started:
        assert started.terminated()[0] == 0


@needs_root
@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (["worker", "shop:app"], signal.SIGINT, 0),
        (["migrate"], signal.SIGTERM, 143),
        (["migrate"], signal.SIGINT, 130),
        (["dev", "-f", "queues.yaml"], signal.SIGTERM, 143),
    ],
)
def test_a_command_that_was_not_done_reports_the_signal(tmp_path, arguments, number, code):
    """By its exit code, without a traceback; a worker has left nothing undone."""
    with gated(tmp_path, "typer", [*MODULE, *arguments]) as started:
        assert started.terminated(number) == (code, "")


@needs_root
def test_an_operator_within_its_imports_exits_with_0(tmp_path):
    """It has not asked for the lease of its leader yet."""
    with gated(tmp_path, "kopf", [sys.executable, "-m", "penstock_operator"]) as started:
        assert started.terminated() == (0, "")


def test_a_child_process_ignores_signals_from_its_first_line_on(tmp_path):
    """A supervisor may signal all processes of a worker; only the worker decides about its children."""
    from penstock.runtime.execution.processes.child import BOOT

    (tmp_path / "sitecustomize.py").write_text(GATE)
    environment = {**os.environ, "GATED": "penstock.runtime.execution.processes.child_main"}
    paths = [str(tmp_path), *sys.path]
    command = [sys.executable, "-c", BOOT, "0", *paths]
    with subprocess.Popen(
        command,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        eventually((tmp_path / "reached").exists, "the child imports its main function")
        for number in (signal.SIGTERM, signal.SIGINT):
            child.send_signal(number)
        (tmp_path / "open").touch()
        _, said = child.communicate(timeout=120)
    assert "non-socket" in said  # it went on, to the pipe that is none here


def test_a_command_that_runs_is_interrupted_rather_than_left():
    """It cancels its statement and restores its terminal; the early handlers would exit at once."""
    script = """
import os, signal
from penstock.early_signals import exit_on_signals
from penstock.runtime.process_exit import interrupt_on_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it, inherited
exit_on_signals()
terminated = interrupt_on_signals()
for number in (signal.SIGINT, signal.SIGTERM):
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        print(number.name, terminated())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "SIGINT False\nSIGTERM True\n"


@pytest.mark.parametrize("name", ["exit_on_signals", "interrupt_on_signals", "leaving_at_once"])
def test_a_program_in_the_background_goes_on_ignoring_sigint(name):
    """A shell starts it so."""
    script = f"""
import signal
from penstock.early_signals import exit_on_signals
from penstock.runtime.process_exit import interrupt_on_signals, leaving_at_once
signal.signal(signal.SIGINT, signal.SIG_IGN)
entered = {name}()
if {name} is leaving_at_once:
    entered.__enter__()
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_public_names_are_loaded_at_their_first_use():
    """The package itself loads none of them: a program that it is part of installs its handlers first."""
    code = "import sys, penstock; print(*sorted(name for name in sys.modules if name.startswith('penstock')))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "penstock\n"
    assert set(penstock.__all__) <= set(dir(penstock))
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    code = "import penstock; print(penstock.errors.UnknownTask.__name__, penstock.events.__name__)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "UnknownTask penstock.events\n"
    with pytest.raises(AttributeError, match="has no attribute 'Apps'"):
        _ = penstock.Apps  # type: ignore[attr-defined]
