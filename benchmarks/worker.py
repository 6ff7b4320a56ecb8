"""The worker's bars: drain rate against a bare SQL loop and peers, start latency, CPU per job, idle cost, takeover.

What is compared runs interleaved on one server; every job is counted, and a run with a job too many or too few fails.
`python -m benchmarks.worker [--only drain|pickup|idle|takeover|import] [--without-peers] [--runs N] [--jobs N]`, or by
`make bench NAME=worker` with PENSTOCK_BENCH_JOBS and PENSTOCK_BENCH_RUNS (50000 and 5).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import psycopg

from benchmarks._contract import Report
from benchmarks._worker_app import app
from benchmarks._worker_drain import drain
from benchmarks._worker_peers import available
from benchmarks._worker_site import SERVER, Site
from benchmarks._worker_waits import idle, pickup, start_up, takeover
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import migrate

PARTS = {"pickup": pickup, "idle": idle, "takeover": takeover, "import": start_up}


def main(arguments: Sequence[str] = ()) -> None:
    """Run what was asked for, print and write."""
    options = _options(arguments)
    report = Report("worker" if options.only is None else f"worker-{options.only}")
    with EmbeddedPostgres(durable=True, settings=SERVER) as server:
        migrate(server.url)
        os.environ["PENSTOCK_DATABASE_URL"] = server.url
        with psycopg.connect(server.url, autocommit=True) as control:
            site = Site(server.url, control)
            if options.only in (None, "drain"):
                peers = [] if options.without_peers else available(options.jobs)
                drain(site, report, jobs=options.jobs, runs=options.runs, peers=peers)
            for name, part in PARTS.items():
                if options.only in (None, name):
                    for number in range(1, options.runs + 1):
                        part(site, report)
                        print(f"{name}: run {number}", flush=True)
        app.close()
    report.finish()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("--only", choices=["drain", *PARTS])
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("PENSTOCK_BENCH_JOBS", "50000")))
    parser.add_argument("--runs", type=int, default=int(os.environ.get("PENSTOCK_BENCH_RUNS", "5")))
    return parser.parse_args(list(arguments))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
