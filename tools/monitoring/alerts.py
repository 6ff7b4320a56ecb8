"""The alerts and their thresholds, in the format of the chart and in that of Prometheus.

An expression may contain THRESHOLD, which the chart's values can set, and RELEASE, the namespace of the operator. The
chart's file keeps both words; `rules()` replaces them, for Prometheus to load. Each alert has a page in `docs/runbooks`
with its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import yaml

from tools.monitoring.panels import BY

THRESHOLD: Final = "THRESHOLD"
RELEASE: Final = "RELEASE"
GROUP: Final = "penstock"
NOTE: Final = "# Made by `make generate` from tools/monitoring/alerts.py; edits here are lost.\n"
ON: Final = "on (namespace, jobqueue)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Attributes:
        name: CamelCase, without the prefix `Penstock`.
        says: one sentence, for the summary; it names the labels as Prometheus' templates do.
        means: what THRESHOLD is, with its unit; empty where there is none.
        wait: for how long it must hold before it fires, as Prometheus writes durations.
    """

    name: str
    expression: str
    says: str
    severity: str
    wait: str
    threshold: float | None = None
    means: str = ""

    @property
    def full_name(self) -> str:
        """As Prometheus shows it."""
        return f"Penstock{self.name}"


def _queue(name: str, more: str = "") -> str:
    return f"max {BY} (penstock_queue_{name}{more})"


def _condition(kind: str) -> str:
    return _queue("condition", f'{{type="{kind}"}}')


_UNLESS_PAUSED: Final = f"unless {ON} {_queue('paused')} == 1"
_WHO: Final = "{{ $labels.namespace }}/{{ $labels.jobqueue }}"
_DATABASE: Final = "The database of {{ $labels.namespace }}/{{ $labels.secret }}"

ALERTS: Final = (
    Alert(
        name="BacklogAge",
        expression=(
            f"({_condition('LatencyTargetMet')} == 0"
            f" or {_queue('oldest_ready_seconds')} > {THRESHOLD}) {_UNLESS_PAUSED}"
        ),
        threshold=900,
        means="wait of the oldest ready job in seconds, for queues that have no latency target",
        says=f"{_WHO} misses its latency target: jobs wait too long.",
        severity="warning",
        wait="10m",
    ),
    Alert(
        name="NotDraining",
        expression=(
            f"{_queue('ready')} > 0 unless {ON} sum {BY} (increase(penstock_jobs_total[10m])) > 0 {_UNLESS_PAUSED}"
        ),
        says=f"{_WHO} has ready jobs, but no attempt finishes.",
        severity="critical",
        wait="15m",
    ),
    Alert(
        name="AtMaximum",
        expression=(
            "max by (namespace, jobqueue, bound)"
            ' (penstock_queue_decision_bound{bound=~"Maximum|ConnectionBudget|MaxInFlight"}) == 1'
            f" and {ON} {_queue('ready')} > 0"
        ),
        says=f"{_WHO} needs more workers than its bound {{{{ $labels.bound }}}} allows.",
        severity="warning",
        wait="15m",
    ),
    Alert(
        name="DeadLetters",
        expression=f"max {BY} (delta(penstock_queue_dead[15m])) > {THRESHOLD}",
        threshold=0,
        means="new dead letters within 15 minutes",
        says=f"{_WHO} has new dead letters: jobs that Penstock will not retry.",
        severity="warning",
        wait="0m",
    ),
    Alert(
        name="CrashLoop",
        expression=f"{_condition('WorkersAvailable')} == 0",
        says=f"Workers of {_WHO} cannot start or keep crashing.",
        severity="critical",
        wait="5m",
    ),
    Alert(
        name="WorkersLost",
        expression=(
            f'sum by (namespace) (increase(penstock_rescued_total{{reason="lease"}}[15m])) > {THRESHOLD}'
            " or sum by (namespace)"
            f' (increase(penstock_database_rescued_total{{reason="lease"}}[15m])) > {THRESHOLD}'
        ),
        threshold=10,
        means="claims rescued from lost workers within 15 minutes",
        says="Workers in {{ $labels.namespace }} die without releasing their jobs.",
        severity="warning",
        wait="0m",
    ),
    Alert(
        name="FencedOutcomes",
        expression=f"sum {BY} (increase(penstock_fenced_total[15m])) > {THRESHOLD}",
        threshold=0,
        means="outcomes rejected within 15 minutes",
        says=f"Workers of {_WHO} were cut off for longer than their lease, and their outcomes were rejected.",
        severity="warning",
        wait="0m",
    ),
    Alert(
        name="AutoscalerBlind",
        expression=f"{_condition('DatabaseReachable')} < 1 or {_queue('sample_age_seconds')} > {THRESHOLD}",
        threshold=120,
        means="seconds since the last sample of the queue",
        says=f"The operator cannot sample {_WHO}; its replica count stays as it is.",
        severity="critical",
        wait="5m",
    ),
    Alert(
        name="NoLeader",
        expression=f'absent(penstock_operator_leader{{namespace="{RELEASE}"}} == 1)',
        says=f"No operator in {RELEASE} leads: workers continue, nothing is scaled.",
        severity="critical",
        wait="2m",
    ),
    Alert(
        name="NotWatching",
        expression=f'min by (namespace, pod, resource) (penstock_operator_watching{{namespace="{RELEASE}"}}) == 0',
        says="{{ $labels.pod }} does not watch {{ $labels.resource }}: it notices changes up to a minute late.",
        severity="warning",
        wait="5m",
    ),
    Alert(
        name="PausedTooLong",
        expression=f"{_queue('paused')} == 1",
        says=f"{_WHO} has been paused for hours; was it forgotten?",
        severity="info",
        wait="6h",
    ),
    Alert(
        name="TaskUnknown",
        expression=f'sum {BY} (rate(penstock_jobs_total{{task="unknown"}}[10m])) > 0'
        f" or sum {BY} (rate(penstock_jobs_incompatible_total[10m])) > 0",
        says=f"Jobs of {_WHO} have a task or arguments that its workers do not know.",
        severity="warning",
        wait="15m",
    ),
    Alert(
        name="ScheduleLate",
        expression=f"max by (namespace, jobqueue, schedule) (penstock_schedule_late_seconds) > {THRESHOLD}",
        threshold=300,
        means="seconds since the tick by which an earlier one should have succeeded, or since a tick that did not fire",
        says=f"Schedule {{{{ $labels.schedule }}}} of {_WHO} has not succeeded in time.",
        severity="warning",
        wait="5m",
    ),
    Alert(
        name="DeadTuples",
        expression=f"max by (namespace, secret) (penstock_database_dead_tuples) > {THRESHOLD}",
        threshold=500_000,
        means="dead tuples in the table of live jobs",
        says=f"{_DATABASE} cannot remove dead tuples; claims become slower.",
        severity="warning",
        wait="15m",
    ),
    Alert(
        name="Connections",
        expression=(
            "max by (namespace, secret) (penstock_database_connections)"
            " / on (namespace, secret) max by (namespace, secret) (penstock_database_connections_limit)"
            f" > {THRESHOLD}"
        ),
        threshold=0.8,
        means="share of the server's connections in use",
        says=f"{_DATABASE} is running out of connections.",
        severity="warning",
        wait="5m",
    ),
)


def chart_file() -> str:
    """The chart's file: a list, its placeholders kept."""
    return NOTE + _dump([_entry(alert) for alert in ALERTS])


def rules(*, release: str = "penstock") -> str:
    """A rules file for Prometheus with the default thresholds."""
    made = []
    for alert in ALERTS:
        entry = _entry(alert)
        entry.pop("threshold", None)
        entry["expr"] = filled(alert.expression, threshold=alert.threshold, release=release)
        entry["annotations"] = {"summary": alert.says.replace(RELEASE, release)}
        made.append(entry)
    return NOTE + _dump({"groups": [{"name": GROUP, "rules": made}]})


def filled(expression: str, *, threshold: float | None, release: str) -> str:
    """An expression without placeholders."""
    shown = "" if threshold is None else f"{threshold:.12g}"
    return expression.replace(THRESHOLD, shown).replace(RELEASE, release)


def _entry(alert: Alert) -> dict[str, object]:
    entry: dict[str, object] = {"alert": alert.full_name, "expr": alert.expression}
    if alert.threshold is not None:
        entry["threshold"] = alert.threshold
    return entry | {"for": alert.wait, "labels": {"severity": alert.severity}, "annotations": {"summary": alert.says}}


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)


def index() -> str:
    """`docs/runbooks/README.md`: every alert with its sentence and its defaults."""
    lines = ["| alert | severity | fires after | threshold | message |", "|---|---|---|---|---|"]
    for alert in ALERTS:
        limit = "" if alert.threshold is None else f"{alert.threshold:.12g} {alert.means}"
        says = alert.says.replace("{{ $labels.namespace }}/{{ $labels.jobqueue }}", "NAMESPACE/JOBQUEUE")
        says = says.replace("{{ $labels.namespace }}/{{ $labels.secret }}", "NAMESPACE/SECRET")
        says = says.replace("{{ $labels.namespace }}", "NAMESPACE").replace("{{ $labels.bound }}", "BOUND")
        says = says.replace("{{ $labels.pod }}", "POD").replace("{{ $labels.resource }}", "RESOURCE")
        link = f"[{alert.full_name}]({alert.full_name}.md)"
        lines.append(f"| {link} | {alert.severity} | {alert.wait} | {limit} | {says} |")
    return _INDEX % "\n".join(lines)


_INDEX: Final = """\
# Runbooks

<!-- Made by `make generate`; edits here are lost. -->

One page per alert of the chart: what it means, what to check, what to do. Thresholds, times and severities are values
of [the chart](../../charts/penstock/README.md), under `prometheusRule.alerts`.

%s
"""
