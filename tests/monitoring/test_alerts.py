"""The alerts as Prometheus judges them: each fires when it should, says who it is about, and goes by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.monitoring import promql, registry
from tools.monitoring.alerts import ALERTS, filled

from tests.monitoring.series import condition, of_database, of_queue, of_worker
from tests.support.chart import only, render

WHO, DATABASE = {"namespace": "shop", "jobqueue": "emails"}, {"namespace": "shop", "secret": "shop-postgres"}
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Series by the minute in promtool's notation; minutes at which the alert is quiet, and at which it fires."""

    alert: str
    about: Mapping[str, str] = field(default_factory=lambda: WHO)
    series: Mapping[str, str]
    quiet: tuple[int, ...]
    fires: tuple[int, ...] = ()
    says: str = ""

    def __str__(self) -> str:
        return self.alert if self.fires else f"{self.alert} stays quiet"


LEADER = 'penstock_operator_leader{namespace="penstock",pod="penstock-0"}'
MAXIMUM = of_queue("decision_bound", ',bound="Maximum"')
DONE = of_worker("jobs_total", ',task="mail",outcome="completed"')
LATE = 'penstock_schedule_late_seconds{namespace="shop",jobqueue="emails",schedule="nightly",pod="penstock-0"}'
LEADERLESS = "No operator in penstock leads: workers continue, nothing is scaled."
CASES = (
    Case(
        alert="BacklogAge",
        series={condition("LatencyTargetMet"): "1x4 0x20 1x20"},
        quiet=(4, 14, 27),
        fires=(16, 24),
        says="shop/emails misses its latency target: jobs wait too long.",
    ),
    Case(
        alert="BacklogAge",
        series={condition("LatencyTargetMet"): "-1x40", of_queue("oldest_ready_seconds"): "0x4 1000x20 5x20"},
        quiet=(4, 27),
        fires=(20,),
        says="shop/emails misses its latency target: jobs wait too long.",
    ),
    Case(
        alert="BacklogAge",
        series={condition("LatencyTargetMet"): "0x40", of_queue("paused"): "1x40"},
        quiet=(20, 39),
    ),
    Case(
        alert="NotDraining",
        series={of_queue("ready"): "5x60", DONE: "0+10x5 50x30 60+10x20"},
        quiet=(5, 25, 45),
        fires=(35,),
        says="shop/emails has ready jobs, but no attempt finishes.",
    ),
    Case(
        alert="NotDraining",
        series={of_queue("ready"): "5x20 0x20"},
        quiet=(10, 25),
        fires=(16,),
        says="shop/emails has ready jobs, but no attempt finishes.",
    ),
    Case(alert="NotDraining", series={of_queue("ready"): "5x60", of_queue("paused"): "1x60"}, quiet=(20, 50)),
    Case(
        alert="AtMaximum",
        about={**WHO, "bound": "Maximum"},
        series={MAXIMUM: "1x20 0x20", of_queue("ready"): "100x40"},
        quiet=(14, 22),
        fires=(16, 20),
        says="shop/emails needs more workers than its bound Maximum allows.",
    ),
    Case(
        alert="DeadLetters",
        series={of_queue("dead"): "7x5 10x40"},
        quiet=(5, 25),
        fires=(7, 15),
        says="shop/emails has new dead letters: jobs that Penstock will not retry.",
    ),
    Case(
        alert="CrashLoop",
        series={condition("WorkersAvailable"): "1x4 0x10 1x20"},
        quiet=(4, 8, 17),
        fires=(11, 15),
        says="Workers of shop/emails cannot start or keep crashing.",
    ),
    Case(
        alert="WorkersLost",
        about={"namespace": "shop"},
        series={'penstock_rescued_total{namespace="shop",pod="emails-1",reason="lease"}': "0x5 20x40"},
        quiet=(5, 25),
        fires=(10,),
        says="Workers in shop die without releasing their jobs.",
    ),
    Case(
        alert="WorkersLost",
        about={"namespace": "shop"},
        series={of_database("rescued_total", ',reason="lease"'): "0x5 20x40"},
        quiet=(5, 25),
        fires=(10,),
        says="Workers in shop die without releasing their jobs.",
    ),
    Case(
        alert="FencedOutcomes",
        series={of_worker("fenced_total"): "0x5 1x40"},
        quiet=(5, 25),
        fires=(10,),
        says="Workers of shop/emails were cut off for longer than their lease, and their outcomes were rejected.",
    ),
    Case(
        alert="AutoscalerBlind",
        series={condition("DatabaseReachable"): "1x4 0x5 -1x5 1x20"},
        quiet=(4, 9, 18),
        fires=(11, 15),
        says="The operator cannot sample shop/emails; its replica count stays as it is.",
    ),
    Case(
        alert="AutoscalerBlind",
        series={condition("DatabaseReachable"): "1x40", of_queue("sample_age_seconds"): "1x4 15 75 135 195x10 1x20"},
        quiet=(5, 10, 19),
        fires=(13, 17),
        says="The operator cannot sample shop/emails; its replica count stays as it is.",
    ),
    Case(
        alert="NoLeader",
        about={},
        series={
            LEADER: "1x4 0x5 1x20",
            'penstock_operator_leader{namespace="elsewhere",pod="penstock-0"}': "1x40",
        },
        quiet=(4, 6, 13),
        fires=(8, 10),
        says=LEADERLESS,
    ),
    Case(alert="NoLeader", about={}, series={}, quiet=(1,), fires=(3,), says=LEADERLESS),
    Case(
        alert="NotWatching",
        about={"pod": "penstock-0", "resource": "jobqueues", "namespace": "penstock"},
        series={
            'penstock_operator_watching{namespace="penstock",pod="penstock-0",resource="jobqueues"}': "1x4 0x9 1x20",
            'penstock_operator_watching{namespace="penstock",pod="penstock-0",resource="pods"}': "1x40",
            'penstock_operator_watching{namespace="elsewhere",pod="penstock-0",resource="pods"}': "0x40",
        },
        quiet=(4, 8, 16),
        fires=(11, 13),
        says="penstock-0 does not watch jobqueues: it notices changes up to a minute late.",
    ),
    Case(
        alert="PausedTooLong",
        series={of_queue("paused"): "0x9 1x400 0x20"},
        quiet=(360, 415),
        fires=(371, 400),
        says="shop/emails has been paused for hours; was it forgotten?",
    ),
    Case(
        alert="TaskUnknown",
        series={
            of_worker("jobs_total", ',task="unknown",outcome="snooze"'): "0x5 0+1x12 12x58",
            of_worker("jobs_incompatible_total"): "0x17 0+1x18 18x40",
        },
        quiet=(5, 18, 50),
        fires=(25, 36),
        says="Jobs of shop/emails have a task or arguments that its workers do not know.",
    ),
    Case(
        alert="ScheduleLate",
        about={**WHO, "schedule": "nightly"},
        series={LATE: "0x4 60 120 180 240 300 360 420 480 540 600 660 0x20"},
        quiet=(4, 9, 14, 17),
        fires=(15,),
        says="Schedule nightly of shop/emails has not succeeded in time.",
    ),
    Case(alert="ScheduleLate", series={LATE: "0x4 60 120 180 240 300 0x20"}, quiet=(9, 12, 20)),
    Case(
        alert="DeadTuples",
        about=DATABASE,
        series={of_database("dead_tuples"): "600000x20 1000x20"},
        quiet=(14, 25),
        fires=(16,),
        says="The database of shop/shop-postgres cannot remove dead tuples; claims become slower.",
    ),
    Case(
        alert="Connections",
        about=DATABASE,
        series={of_database("connections"): "90x10 10x20", of_database("connections_limit"): "97x40"},
        quiet=(4, 15),
        fires=(6, 10),
        says="The database of shop/shop-postgres is running out of connections.",
    ),
)


@pytest.fixture(scope="module")
def rules(monitored: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart's rules as Prometheus would load them."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(only(monitored, "PrometheusRule")["spec"]))
    return path


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_accepts_the_rules(promtool: str, rules: Path):
    """All of them, with expressions and templates."""
    assert f"{len(ALERTS)} rules found" in run(promtool, "check", "rules", rules)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_alert_fires_and_resolves(case: Case, promtool: str, rules: Path, tmp_path: Path):
    """With the labels and the sentence that people read, at the minutes named, and at the others not."""
    (severity,) = [one.severity for one in ALERTS if one.name == case.alert]
    name = f"Penstock{case.alert}"
    alerts = {
        "exp_labels": {**case.about, "severity": severity},
        "exp_annotations": {"summary": case.says, "runbook_url": f"docs/runbooks/{name}.md"},
    }
    judged: list[tuple[int, list[Any]]] = [(minute, []) for minute in case.quiet] + [
        (minute, [alerts]) for minute in case.fires
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected} for minute, expected in judged
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    run(promtool, "test", "rules", path)


def test_every_alert_has_a_case_that_fires_and_one_that_resolves():
    """Quiet after it fired, in the same case."""
    shown = {case.alert for case in CASES if case.fires and case.quiet and max(case.quiet) > max(case.fires)}
    assert shown == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name)
def test_an_alert_names_only_metrics_and_labels_that_exist(alert: Any):
    """In its expression, and in its sentence only labels that the expression leaves."""
    expression = filled(alert.expression, threshold=alert.threshold, release="penstock")
    labels = promql.labels_of(expression, registry.reading())
    alerts = {part.split(" ")[0] for part in alert.says.split("$labels.")[1:]}
    assert alerts <= labels
    assert ("THRESHOLD" in alert.expression) == (alert.threshold is not None) == bool(alert.means)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name)
def test_an_alert_has_a_page_that_says_what_to_do(alert: Any):
    """Meaning, what to check, what to do."""
    text = (RUNBOOKS / f"{alert.full_name}.md").read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert text.startswith(f"# {alert.full_name}\n")
    assert headings == ["What it means", "What to check", "What to do"]


def test_no_page_is_left_over():
    """A page for an alert that nobody sends would be believed."""
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {alert.full_name for alert in ALERTS}


def test_values_change_or_end_an_alert():
    """Threshold, time, severity; one that is turned off is not there."""
    alerts = {
        "PenstockBacklogAge": {"threshold": 60, "for": "1h", "severity": "critical"},
        "PenstockPausedTooLong": {"enabled": False},
        "PenstockDeadLetters": {"threshold": 0.5},
    }
    values = {"prometheusRule": {"render": "always", "alerts": alerts, "alertLabels": {"team": "jobs"}}}
    (group,) = only(render(values), "PrometheusRule")["spec"]["groups"]
    found = {rule["alert"]: rule for rule in group["rules"]}
    assert found.keys() == {alert.full_name for alert in ALERTS} - {"PenstockPausedTooLong"}
    assert "> 60)" in found["PenstockBacklogAge"]["expr"]
    assert found["PenstockBacklogAge"]["for"] == "1h"
    assert found["PenstockBacklogAge"]["labels"] == {"severity": "critical", "team": "jobs"}
    assert found["PenstockDeadLetters"]["expr"].endswith("> 0.5")
    assert found["PenstockConnections"]["expr"].endswith("> 0.8")
