"""The dashboards as data: expressions that parse, metrics and labels that exist, a layout that holds together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tools.monitoring import grafana, promql, registry
from tools.monitoring.dashboards import DASHBOARDS

from tests.monitoring.queries import queries
from tests.support.chart import CHART

QUERIES = [pytest.param(expression, legend, id=where) for where, expression, legend in queries()]
KNOWN = {
    "up": registry.TARGET,
    "a_total": frozenset({"queue", "pod"}),
    "b_bucket": frozenset({"queue", "le"}),
    "c": frozenset({"queue"}),
}


@pytest.mark.parametrize(("expression", "legend"), QUERIES)
def test_a_query_names_only_metrics_and_labels_that_exist(expression: str, legend: str):
    """And its legend only labels that the result has."""
    labels = promql.labels_of(expression, registry.reading())
    assert set(re.findall(r"{{(\w+)}}", legend)) <= labels


@pytest.mark.parametrize(
    "wrong",
    [
        "sum by (queue (c)",
        "d",
        'c{pod="x"}',
        "sum by (task) (a_total)",
        "histogram_quantile(0.5, sum by (queue) (b_bucket))",
        "a_total / c",
        "a_total / on (pod) c",
        "label_replace(c, 'x', '$1', 'queue', '(.*)')",
    ],
)
def test_a_wrong_query_is_found(wrong: str):
    """A syntax error, a metric, a label, lost buckets, sides that do not match, a function that nobody understands."""
    with pytest.raises(promql.WrongExpressionError):
        promql.labels_of(wrong, KNOWN)


def test_the_labels_of_a_result_are_worked_out():
    """Through functions, aggregations, comparisons and matching."""

    def labels(expression: str) -> set[str]:
        return set(promql.labels_of(expression, KNOWN))

    assert labels("rate(a_total[5m])") == {"queue", "pod"}
    assert labels("sum by (queue) (rate(a_total[5m])) > 0 unless on (queue) c == 1") == {"queue"}
    assert labels("histogram_quantile(0.9, sum by (le, queue) (rate(b_bucket[5m])))") == {"queue"}
    assert labels("count(c < 1) or vector(0)") == set()
    assert labels('absent(up{job="x"})') == {"job"}
    assert labels("time() - c") == {"queue"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_panels_fill_rows_and_say_what_they_show(dashboard: Any):
    """None overlaps another, none is wider than the page, each has a sentence."""
    model = json.loads(grafana.model(dashboard))
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert max(x for x, _ in cells) < grafana.COLUMNS
        assert panel["description"].endswith(".")
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    assert {variable["name"] for variable in model["templating"]["list"]} == {"datasource", "namespace", "jobqueue"}


def test_no_dashboard_is_left_over():
    """What is in the chart is what is made."""
    files = {path.stem for path in Path(CHART / "files" / "dashboards").iterdir()}
    assert files == {dashboard.name for dashboard in DASHBOARDS}
