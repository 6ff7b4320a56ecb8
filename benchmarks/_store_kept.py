"""The dated copy of the store's figures for the docs: `python -m benchmarks.store keep` after a run.

It owns the copies `docs/explanation/store-figures.json` and `docs/images/store-figures.svg`, and the table in
`docs/explanation/store.md` between the two comments that name it. It measures nothing, and nobody writes a figure by
hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks._contract import OUT

DOCS: Final = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- figures: python -m benchmarks.store keep -->", "<!-- end of figures -->"
ROWS: Final[Mapping[str, str]] = {
    "claim_ack_100_vs_minimum": "claim and ack in batches of 100, ratio to the smallest SQL",
    "claim_ack_500_vs_minimum": "the same in batches of 500",
    "wal_bytes_per_job_100": "WAL per job, enqueue included, batches of 100",
    "server_cpu_us_per_job_500": "server CPU per job, claim and ack, batches of 500",
    "server_cpu_us_per_job_500_minimum": "the same for the smallest SQL",
    "single_enqueue_vs_insert": "time of one enqueue, ratio to one INSERT",
    "array_enqueue_vs_copy": "a thousand enqueued by arrays, ratio to a COPY",
    "bulk_enqueue_vs_copy": "a thousand enqueued by COPY, ratio to the same",
    "depth_1000_queues_ms_p50": "one sample of 1,000 queues with 1 M jobs, cap 100, median",
    "depth_1000_queues_ms_p95": "the same, 95th percentile",
    "depth_1000_queues_server_cpu_ms": "the same, CPU of the server",
    "commits_with_waiters_vs_without": "enqueues of two producers with sleeping workers, ratio to none",
    "open_snapshot_vs_clean": "jobs per second of a steady load with an open snapshot, ratio to none",
    "held_claim_ms_p99": "its claims, 99th percentile",
    "clean_claim_ms_p99": "the same without an open snapshot",
}


def keep(out: Path = OUT, docs: Path = DOCS) -> None:
    """Copy the last run's figures and picture to the docs, and write their table."""
    document = json.loads((out / "store.json").read_text())
    shutil.copy(out / "store.json", docs / "explanation" / "store-figures.json")
    shutil.copy(out / "store.svg", docs / "images" / "store-figures.svg")
    page = docs / "explanation" / "store.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(document)}{END}{after}", encoding="utf-8")


def table(document: Mapping[str, Any]) -> str:
    """The figures that have a bar or explain one, as a table under the date and the machine."""
    lines = [
        f"Taken on {document['taken_at'][:10]}: {document['machine']}; {document['runs']} runs.",
        "",
        "| | lowest | median | highest | target |",
        "|---|---|---|---|---|",
    ]
    for key, name in ROWS.items():
        figure = document["figures"].get(key)
        if figure is None:
            continue
        bar = "" if figure["bar"] is None else f"{'≥' if figure['better'] == 'higher' else '≤'} {_short(figure['bar'])}"
        unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
        cells = " | ".join(f"{_short(figure[part])}{unit}" for part in ("min", "median", "max"))
        lines.append(f"| {name} | {cells} | {bar}{unit if bar else ''} |")
    return "\n".join([*lines, ""])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
