"""Penstock's operator and KEDA: the same table of jobs, the same API server and workers, in turn.

Three parts, each five times (`--runs`), each run counted once:

- `burst`: a thousand jobs in one commit, to the first, tenth and hundredth pod object (those pods stay Pending); one
  job, until it is done in a real worker; from then until no pod is left.
- `kills`: six jobs in six workers; three finish early, three run longer than every window. How many are interrupted.
- `cost`: Postgres connections and transactions, requests to the API server, memory and CPU at rest with 1, 20 and 100
  queues at zero.

KEDA is built from its published Go module (`_keda_build`); the controller manager runs the horizontal pod autoscaler
that KEDA creates. Workers are processes on this machine, started for each pod as a kubelet would. As root everything
runs in a network namespace of its own, since KEDA's adapter serves its metrics on all interfaces.

    python -m benchmarks.keda [--only burst,kills,cost] [--runs 5] [--picture FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks._contract import OUT, Report
from benchmarks._keda_build import Programs, programs, version
from benchmarks._keda_burst import burst
from benchmarks._keda_cost import cost
from benchmarks._keda_kills import kills
from benchmarks._keda_picture import picture

PARTS = {"burst": burst, "kills": kills, "cost": cost}
_ISOLATED = "PENSTOCK_BENCH_NAMESPACE"


async def run(report: Report, built: Programs, *, parts: Sequence[str], runs: int) -> None:
    """The parts in order, each in a cluster of its own."""
    for name in parts:
        print(f"{name}: load {os.getloadavg()[0]:.1f}", flush=True)
        await PARTS[name](report, built, runs)
        print(f"{name}: finished, load {os.getloadavg()[0]:.1f}", flush=True)


def isolated(arguments: Sequence[str]) -> bool:
    """As root: run again in a network namespace that has loopback only. False if this is it, or it is not possible.

    Raises:
        CalledProcessError: the run failed there.
    """
    if os.geteuid() or os.environ.get(_ISOLATED) or not (shutil.which("unshare") and shutil.which("ip")):
        return False
    command = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", "benchmarks.keda", *arguments]
    subprocess.run(["unshare", "--net", "--", *command], env={**os.environ, _ISOLATED: "1"}, check=True)
    return True


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table and write `benchmarks/out/keda.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keda")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--runs", type=int, default=5, help="how often each figure is measured")
    parser.add_argument("--picture", type=Path, help="draw the last measurement into this folder, and measure nothing")
    asked = parser.parse_args(arguments)
    if asked.picture:
        figures = json.loads((OUT / "keda.json").read_text())["figures"]
        (asked.picture / "keda.svg").write_text(picture(figures))
        return
    built = programs()
    if isolated(arguments):
        return
    parts = asked.only.split(",")
    report = Report("keda" if set(parts) == set(PARTS) else f"keda-{'-'.join(parts)}")
    print(f"KEDA {version()}", flush=True)
    asyncio.run(run(report, built, parts=parts, runs=asked.runs))
    report.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
