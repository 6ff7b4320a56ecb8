"""Copies and generated pages, from their sources: `python -m tools.generate [--check]`.

One table says what is made from what. Without `--check` every file is written; with it nothing is written, and the exit
code is 1 if one of them differs from its source. A check needs nothing running; `docs/reference/schema.sql` does (it
comes from a real server), so it is written here and checked by `tests/postgres/schema/test_docs.py`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tools import messages, pages, pull_picture
from tools.monitoring import alerts, grafana
from tools.monitoring.dashboards import DASHBOARDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT: Final = Path(__file__).parents[1]
DASHBOARD_FILES: Final = "charts/penstock/files/dashboards"
SCHEMA: Final = ROOT / "docs" / "reference" / "schema.sql"


class Made(NamedTuple):
    """One file that nobody edits: where it is, what it is made from (for people), and how."""

    path: str
    source: str
    make: Callable[[], str]


def _copy(source: str) -> Callable[[], str]:
    return lambda: (ROOT / source).read_text(encoding="utf-8")


TABLE: Final = (
    Made("worker/LICENSE", "LICENSE", _copy("LICENSE")),  # each distribution carries its own
    Made("operator/LICENSE", "LICENSE", _copy("LICENSE")),
    Made("worker/penstock/jobqueue/jobqueue.yaml", "crds/jobqueue.yaml", _copy("crds/jobqueue.yaml")),
    Made("charts/penstock/files/jobqueue.yaml", "crds/jobqueue.yaml", _copy("crds/jobqueue.yaml")),
    Made("docs/reference/configuration.md", "penstock.settings, penstock_operator.settings", pages.configuration),
    Made("docs/reference/jobqueue.md", "crds/jobqueue.yaml", lambda: pages.jobqueue(ROOT / "crds" / "jobqueue.yaml")),
    Made("docs/reference/cli.md", "penstock.cli", pages.cli),
    Made(
        "docs/reference/metrics.md",
        "penstock.runtime.observe.metrics, penstock.dev.http, penstock_operator.metrics",
        pages.metrics,
    ),
    Made("docs/images/why-pull.svg", "tools.pull_picture", pull_picture.why_pull),
    Made("tests/unit/messages.txt", "the product's source", messages.text),
    Made("docs/runbooks/README.md", "tools.monitoring.alerts", alerts.index),
    Made("charts/penstock/files/alerts.yaml", "tools.monitoring.alerts", alerts.chart_file),
    *(
        Made(
            f"charts/penstock/files/dashboards/{one.name}.json",
            "tools.monitoring.dashboards",
            partial(grafana.model, one),
        )
        for one in DASHBOARDS
    ),
)


def stale(table: Iterable[Made] = TABLE) -> list[Made]:
    """The rows whose file is missing or differs from what its source makes."""
    return [one for one in table if not _is_current(ROOT / one.path, one.make())]


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def write() -> list[str]:
    """Write what differs, the schema included where a server can be had; the paths written."""
    written = []
    for one in stale():
        (ROOT / one.path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / one.path).write_text(one.make(), encoding="utf-8")
        written.append(one.path)
    from tools import schema  # noqa: PLC0415 - a check needs no driver and no server

    text = schema.of_embedded_server()
    if text is None:
        print(f"generate: docs/reference/schema.sql is not written: it needs PostgreSQL {schema.MAJOR} and its pg_dump")
    elif not _is_current(SCHEMA, text):
        SCHEMA.write_text(text, encoding="utf-8")
        written.append("docs/reference/schema.sql")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description="Copies and generated pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs from its source")
    if not parser.parse_args(arguments).check:
        for path in write():
            print(f"generate: wrote {path}")
        return 0
    differing = stale()
    for one in differing:
        print(f"verify: {one.path} differs from {one.source}; run `make generate`", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
