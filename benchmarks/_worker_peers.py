"""Peers of `benchmarks/worker`, each with the settings that were its best on two cores, in an environment of its own.

They are installed from the registries into a cache folder (PENSTOCK_BENCH_CACHE, else ~/.cache/penstock-bench), never
into the project's environment. A peer that cannot be had is left out, with the reason. Each drains in a process of its
own, says how many jobs ran, and must have run each exactly once; its clock runs from the first job on.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

from benchmarks._worker_site import ROOT, Site

CACHE = pathlib.Path(os.environ.get("PENSTOCK_BENCH_CACHE", "~/.cache/penstock-bench")).expanduser()
PYTHON_PEERS = ("procrastinate==3.10.0", "pgqueuer[asyncpg]==1.6.0", "psycopg[binary,pool]", "uvloop")
NODE_PEER = "graphile-worker@0.18.0"
FOLDER = ROOT / "benchmarks" / "peers"
INSTALL_SECONDS = 300
DRAIN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Peer:
    """How to run one: `command` is given the URL and the number of jobs, and prints [seconds, ran, distinct]."""

    name: str
    command: tuple[str, ...]
    jobs: int
    bar: float | None = None

    def drain(self, site: Site) -> float:
        """Jobs a second."""
        site.control.execute("CHECKPOINT")
        done = subprocess.run(
            [*self.command, site.url, str(self.jobs)],
            capture_output=True,
            text=True,
            timeout=DRAIN_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        seconds, ran, distinct = json.loads(done.stdout.splitlines()[-1])
        assert ran == distinct == self.jobs, f"{self.name} ran {ran} jobs, {distinct} of them distinct, of {self.jobs}"
        return self.jobs / float(seconds)


def available(jobs: int) -> list[Peer]:
    """Those that can be had here. The slow one is given fewer jobs: its rate does not depend on how many wait."""
    found = []
    try:
        python = str(_python())
        found.append(Peer("procrastinate", (python, str(FOLDER / "procrastinate_drain.py")), min(jobs, 2000)))
        found.append(Peer("pgqueuer", (python, str(FOLDER / "pgqueuer_drain.py")), min(jobs, 20_000), bar=3))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"procrastinate and pgqueuer are left out: {_why(error)}")
    try:
        node = str(_node())
        command = ("node", str(FOLDER / "graphile_drain.mjs"), node)
        found.append(Peer("graphile_worker", command, jobs, bar=1))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"graphile-worker is left out: {_why(error)}")
    return found


def _python() -> pathlib.Path:
    """The interpreter of an environment with the Python peers."""
    folder = CACHE / "python"
    interpreter = folder / "bin" / "python"
    wanted = "\n".join(PYTHON_PEERS)
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != wanted:
        uv = str(ROOT / "tools" / "uv")
        _quietly(uv, "venv", "--quiet", "--allow-existing", str(folder))
        _quietly(uv, "pip", "install", "--quiet", "--python", str(interpreter), *PYTHON_PEERS)
        mark.write_text(wanted)
    return interpreter


def _node() -> pathlib.Path:
    """A folder with the Node peer in its node_modules."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed")
    folder = CACHE / "node"
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != NODE_PEER:
        folder.mkdir(parents=True, exist_ok=True)
        _quietly("npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", NODE_PEER)
        mark.write_text(NODE_PEER)
    return folder


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error}: {str(error.stderr).strip()[-300:]}"
    return str(error)
