"""`penstock dev` as a person runs it: one command, real processes, nothing left running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = """
apiVersion: penstock.dev/v1alpha1
kind: JobQueue
metadata: {name: notes}
spec:
  databaseRef: {secretRef: {name: notes}}
  worker:
    app: notes:app
    template: {spec: {containers: [{name: worker, image: notes}]}}
  scaling:
    maxReplicas: 2
    scaleDown: {stabilizationWindowSeconds: 1, cooldownSeconds: 1}
"""
APP = """
from pathlib import Path
from penstock import App

app = App()
SAYS = "first"

@app.task(name="note", queue="notes")
def note(number: int) -> None:
    with Path(__file__).with_name("notes.txt").open("a") as file:
        file.write(f"{SAYS} {number}\\n")
"""


class Dev:
    """A running `penstock dev`; `url` is what it hands over for enqueueing."""

    def __init__(self, folder: Path, *arguments: str, manifest: str = MANIFEST) -> None:
        self.folder = folder
        (folder / "notes.py").write_text(APP)
        (folder / "jobqueues.yaml").write_text(manifest)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        command = [sys.executable, "-m", "penstock", "dev", "-f", "jobqueues.yaml", "--log-file", "log", *arguments]
        self.output = (folder / "output").open("wb")
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=self.output, stderr=self.output, start_new_session=True
        )

    @property
    def said(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text() if (self.folder / "log").exists() else ""

    def handed(self) -> Path:
        """The file with the URL, in the run's own temporary directory."""
        found = eventually(lambda: re.search(r"\$\(cat (\S+)\)", self.said), "the URL is handed over")
        assert found is not None
        return Path(found[1])

    def url(self) -> str:
        return self.handed().read_text()

    def enqueue(self, *numbers: int) -> None:
        """All in one statement, which the first sample finds all."""
        query = "SELECT penstock.enqueue('notes', 'note', jsonb_build_object('number', n)) FROM unnest(%s::int[]) AS n"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(query, [list(numbers)])

    def notes(self) -> list[str]:
        path = self.folder / "notes.txt"
        return sorted(path.read_text().splitlines()) if path.exists() else []

    def family(self) -> set[int]:
        """All processes below ours: workers, the server, guards."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found


@contextmanager
def dev(folder: Path, *arguments: str, manifest: str = MANIFEST) -> Iterator[Dev]:
    running = Dev(folder, *arguments, manifest=manifest)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.output.close()


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
        except OSError:
            continue
    return found


def test_jobs_run_from_zero_and_the_workers_go_again(tmp_path: Path) -> None:
    """One command: database, schema, queue, workers; and no worker is left once there is nothing to do."""
    with dev(tmp_path) as running:
        running.enqueue(*range(20))
        eventually(lambda: len(running.notes()) == 20, "twenty notes")
        assert running.notes() == sorted(f"first {number}" for number in range(20))
        eventually(lambda: "notes: 0 -> 2" in running.said, "scaled up")
        eventually(lambda: re.search(r"notes: \d -> 0", running.said), "scaled to zero")


def test_a_schedule_of_the_manifest_has_a_worker_before_its_tick_and_its_job_runs(tmp_path: Path) -> None:
    """From zero, every time: the reason of each start is the tick, and no job waits for a process."""
    schedules = "  schedules:\n    - {name: steady, task: note, everySeconds: 15, args: {number: 7}}\n"
    with dev(tmp_path, manifest=MANIFEST + schedules) as running:
        eventually(
            lambda: re.search(r"notes: 0 -> 1 .*for the tick of steady at", running.said, re.IGNORECASE), "started"
        )
        eventually(lambda: running.notes()[:2] == ["first 7", "first 7"], "two ticks have run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_ends_with_nothing_left(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0, the processes and the temporary files are gone."""
    with dev(tmp_path) as running:
        running.enqueue(1)
        eventually(lambda: len(running.notes()) == 1, "one note")
        handed = running.handed()
        family = running.family()
        assert len(family) >= 4
        running.process.send_signal(number)
        assert running.process.wait(120) == 0
        eventually(lambda: not alive(family), "every process has ended")
        assert not handed.parent.exists()


def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no worker, no server and no file: the guards end them."""
    with dev(tmp_path) as running:
        running.enqueue(1)
        eventually(lambda: len(running.notes()) == 1, "one note")
        handed = running.handed()
        family = running.family()
        running.process.kill()
        running.process.wait()
        eventually(lambda: not alive(family), "every process has ended")
        eventually(lambda: not handed.parent.exists(), "the files are gone")


def test_a_change_of_code_restarts_the_workers(tmp_path: Path) -> None:
    """`--reload`: the next job runs the new code."""
    with dev(tmp_path, "--reload") as running:
        running.enqueue(1)
        eventually(lambda: running.notes() == ["first 1"], "the old code")
        (tmp_path / "notes.py").write_text(APP.replace("first", "second"))
        eventually(lambda: "draining" in running.log, "the workers restart")
        running.enqueue(2)
        eventually(lambda: running.notes() == ["first 1", "second 2"], "the new code")


def test_an_application_that_cannot_be_imported_is_reported_until_it_is_fixed(tmp_path: Path) -> None:
    """The worker's own words are in the log; once the code is right the jobs run, without a restart of anything."""
    with dev(tmp_path) as running:
        running.url()
        (tmp_path / "notes.py").write_text("import nothing_of_that_name")
        running.enqueue(1)
        eventually(lambda: "nothing_of_that_name" in running.log, "the reason is reported")
        eventually(lambda: "exited with code 2; restarting in" in running.log, "it is restarted")
        (tmp_path / "notes.py").write_text(APP)
        eventually(lambda: running.notes() == ["first 1"], "the job has run")


def test_a_bad_manifest_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    """Exit code 2 with file, field and rule, before any server."""
    (tmp_path / "bad.yaml").write_text(MANIFEST.replace("maxReplicas: 2", "maxReplicas: 0"))
    command = [sys.executable, "-m", "penstock", "dev", "-f", "bad.yaml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "bad.yaml" in done.stderr
    assert "spec.scaling.maxReplicas" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_a_database_by_url_without_the_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """`--external` on a blank database: one line that says what to run; nothing is written there."""
    (tmp_path / "jobqueues.yaml").write_text(MANIFEST)
    from penstock.dev.postgres.server import EmbeddedPostgres

    with EmbeddedPostgres(durable=False) as server:
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "dev", "-f", "jobqueues.yaml", "--external"],
            cwd=tmp_path,
            env={**os.environ, "PENSTOCK_DATABASE_URL": server.url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "run `penstock migrate`" in done.stderr
        assert server.url not in done.stderr
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT to_regnamespace('penstock')").fetchone() == (None,)
