"""The words in which a dashboard is written: panels, queries, and the few shapes that queries have.

A query may use the variables `$namespace` and `$jobqueue`, both with "all", and `$__rate_interval`. Series of the
operator are aggregated by `max`, because a replica that has just ceased to lead may still be scraped together with its
successor; series of workers by `sum`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["stat", "lines", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and the legend of its series, `{{label}}` for a label."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `unit` is Grafana's word for it; `bad` is the value from which on a stat is red."""

    title: str
    help: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "lines"
    width: int = 12
    bad: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `name` is its file and, after `penstock-`, its uid."""

    name: str
    title: str
    help: str
    panels: tuple[Panel, ...]


CHOSEN: Final = 'namespace=~"$namespace",jobqueue=~"$jobqueue"'
BY: Final = "by (namespace, jobqueue)"
NAMED: Final = "{{namespace}}/{{jobqueue}}"
RATE: Final = "[$__rate_interval]"


def of_queue(name: str, more: str = "") -> str:
    """A gauge of the operator, once for each JobQueue."""
    return f"max {BY} (penstock_queue_{name}{{{CHOSEN}{more}}})"


def of_condition(kind: str) -> str:
    """A condition of every JobQueue: 1 true, 0 false, -1 unknown."""
    return of_queue("condition", f',type="{kind}"')


def per_second(name: str, by: str, more: str = "") -> str:
    """A counter of the workers, per second."""
    return f"sum by ({by}) (rate({name}{{{CHOSEN}{more}}}{RATE}))"


def quantile(of: float, name: str, by: str = "") -> str:
    """A quantile of one of the workers' histograms."""
    return f"histogram_quantile({of}, {per_second(f'{name}_bucket', f'{by}, le' if by else 'le')})"


def quantiles(name: str) -> tuple[Query, ...]:
    """Half, and nineteen of twenty."""
    return Query(quantile(0.5, name), "p50"), Query(quantile(0.95, name), "p95")


OLDEST = Panel(
    title="Oldest ready job",
    help="How long the job that has waited longest has been ready. It says more than depth: this is what users feel.",
    queries=(Query(of_queue("oldest_ready_seconds"), NAMED),),
    unit="s",
)
OUTCOMES = Panel(
    title="Attempts that ended",
    help="Per second, by outcome, as the workers acknowledged them.",
    queries=(Query(per_second("penstock_jobs_total", "outcome"), "{{outcome}}"),),
    unit="ops",
)
WHY = Panel(
    title="Why this many workers",
    help="The rule that won the last decision; the sentence with its arithmetic is in `kubectl get jobqueues`.",
    queries=(Query(f"max by (namespace, jobqueue, bound) (penstock_queue_decision_bound{{{CHOSEN}}}) == 1", ""),),
    kind="table",
)
WAIT = Panel(
    title="Wait of jobs",
    help="From ready to claimed.",
    queries=quantiles("penstock_job_wait_seconds"),
    unit="s",
)

_OF_SCHEDULES: Final = f"max by (namespace, jobqueue, schedule) (penstock_schedule_%s{{{CHOSEN}}})"
_SCHEDULE: Final = "{{jobqueue}}/{{schedule}}"
SCHEDULES: Final = (
    Panel(
        title="Next ticks of schedules",
        help="Seconds until each schedule ticks.",
        queries=(Query(f"({_OF_SCHEDULES % 'next_timestamp_seconds'} > 0) - time()", _SCHEDULE),),
        unit="s",
    ),
    Panel(
        title="Late schedules",
        help="For how long a schedule should have succeeded, or a tick should have fired; 0 if it is in time.",
        queries=(Query(_OF_SCHEDULES % "late_seconds", _SCHEDULE),),
        unit="s",
    ),
    Panel(
        title="Ticks without a job",
        help="Ticks that overlap or missed skipped, per second. Of ticks seconds apart not all are counted.",
        queries=(
            Query(
                f"max by (namespace, jobqueue, schedule) (rate(penstock_schedule_skipped_total{{{CHOSEN}}}{RATE}))",
                _SCHEDULE,
            ),
        ),
    ),
)


def stat(title: str, expression: str, label: str, *, unit: str = "short", bad: float | None = None) -> Panel:
    """One number."""
    return Panel(title=title, help=label, queries=(Query(expression, ""),), unit=unit, kind="stat", width=4, bad=bad)
