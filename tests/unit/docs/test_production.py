"""The page for production names settings and figures of other places; each must be found there."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.unit.docs.pages import ROOT, page
from tests.unit.docs.test_references import rows

NAME = "docs/how-to/production.md"
FIGURE = r"\d[\d.,]*\d|\d"
UNITS = {"µs": ("ms", 1e-3), "B": ("kB", 1e-3)}


def linked_page(cell: str) -> str:
    """The text of the page that a table's cell links."""
    targets: list[str] = re.findall(r"\]\(([^)#]+)", cell)
    (target,) = targets
    path = (ROOT / NAME).parent / target
    return path.read_text(encoding="utf-8")


def fields(schema: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths of a schema's properties, whatever is above them left out."""
    found: set[str] = set()
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        found |= {path} | fields(field, path)
    return found


def keys(values: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths of a chart's values."""
    found: set[str] = set()
    for name, value in values.items():
        path = f"{prefix}.{name}" if prefix else name
        found |= {path} | (keys(value, path) if isinstance(value, dict) else set())
    return found


def test_every_figure_is_on_the_page_that_its_row_links():
    """A figure that was measured again changes in both places."""
    table = rows(NAME, "8. Capacity")
    measured = [row for row in table if len(row) == 3]
    costs = [row for row in table if len(row) == 4 and "[" in row[3]]
    assert len(measured) >= 9
    assert len(costs) == 3
    for row in [*measured, *costs]:
        missing = set(re.findall(FIGURE, row[1])) - set(re.findall(FIGURE, linked_page(row[-1])))
        assert missing == set(), f"{row[0]}: {missing} not on the page that it links"


def test_what_a_thousand_jobs_a_second_cost_is_a_thousand_times_what_one_costs():
    """The column is arithmetic, so that nobody has to believe it."""
    for what, each, thousand, _ in (row for row in rows(NAME, "8. Capacity") if len(row) == 4 and "[" in row[3]):
        amount, unit = each.split()
        larger, factor = UNITS[unit]
        assert thousand == f"{float(amount) * 1000 * factor:g} {larger} per second", what
    text = (ROOT / NAME).read_text(encoding="utf-8")
    assert f"{940 * 1000 * 86400 / 1e9:.0f} GB a day" in text


def test_every_setting_with_a_dot_is_a_field_of_the_jobqueue_or_a_value_of_the_chart():
    """A renamed one is renamed here too."""
    definition = yaml.safe_load((ROOT / "crds" / "jobqueue.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    known = fields(schema) | keys(yaml.safe_load((ROOT / "charts" / "penstock" / "values.yaml").read_text()))
    named = {span for span in page(NAME).spans() if re.fullmatch(r"[a-z]+[A-Za-z]*(\.[a-z]+[A-Za-z]*)+", span)}
    named -= {"penstock.job"}  # a table
    assert len(named) >= 8
    assert named - known == set()


def test_every_alert_that_is_named_has_a_runbook():
    """And it is the name that the pager shows."""
    text = (ROOT / NAME).read_text(encoding="utf-8")
    named = set(re.findall(r"\bPenstock[A-Z]\w+", text))
    assert len(named) >= 8
    assert {name for name in named if not (ROOT / "docs" / "runbooks" / f"{name}.md").is_file()} == set()
