"""Dashboards as Grafana reads them: one JSON model each, the same bytes for the same panels.

Owns layout, variables and links. Must not hold a query; those are in `panels`. The models name no data source: one is
chosen above the dashboard, so that they can be loaded anywhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .panels import Dashboard, Panel

SCHEMA: Final = 39
"""Of Grafana 11 and later, which also read older ones; 10 reads it with a warning."""
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_TYPES: Final = {"stat": "stat", "lines": "timeseries", "table": "table"}
_HEIGHTS: Final = {"stat": 4, "lines": 8, "table": 8}


def model(dashboard: Dashboard) -> str:
    """The JSON model of a dashboard, indented, with a line break at its end."""
    made = {
        "uid": f"penstock-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.help,
        "tags": ["penstock"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_links()],
        "templating": {"list": [_source(), *_variables()]},
        "panels": [
            {"id": number, "gridPos": place, **_panel(panel)}
            for number, (place, panel) in enumerate(placed(dashboard), start=1)
        ],
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _links() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "Penstock",
        "tags": ["penstock"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variables() -> Iterator[dict[str, Any]]:
    for name, label, query in (
        ("namespace", "Namespace", "label_values(penstock_queue_ready, namespace)"),
        ("jobqueue", "JobQueue", 'label_values(penstock_queue_ready{namespace=~"$namespace"}, jobqueue)'),
    ):
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def placed(dashboard: Dashboard) -> Iterator[tuple[dict[str, int], Panel]]:
    """The panels from left to right with their places; a row ends where the next one does not fit."""
    x = y = height = 0
    for panel in dashboard.panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield {"x": x, "y": y, "w": panel.width, "h": _HEIGHTS[panel.kind]}, panel
        x, height = x + panel.width, max(height, _HEIGHTS[panel.kind])


def _panel(panel: Panel) -> dict[str, Any]:
    once = panel.kind != "lines"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            **({"instant": True, "range": False} if once else {}),
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for number, query in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0} if panel.kind == "lines" else {"unit": panel.unit}
    if panel.kind == "lines":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if panel.kind == "stat":
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if panel.bad is not None:
            steps.append({"color": "red", "value": panel.bad})
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    made = {
        "type": _TYPES[panel.kind],
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    if panel.kind == "table":
        hidden = {"Time": True, "Value": True}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    if panel.kind == "lines":
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return made
