"""The dashboards' queries, without Grafana's variables."""

from __future__ import annotations

from collections.abc import Iterator

from tools.monitoring.dashboards import DASHBOARDS


def filled(expression: str, *, window: str = "5s") -> str:
    """An expression as Grafana would send it with "all" chosen.

    Args:
        expression: of a dashboard.
        window: in place of `$__rate_interval`; at least four scrapes.
    """
    chosen = {"$namespace": ".*", "$jobqueue": ".*", "$__rate_interval": window}
    for variable, value in chosen.items():
        expression = expression.replace(variable, value)
    return expression


def queries(*names: str) -> Iterator[tuple[str, str, str]]:
    """(where it is, expression, legend) of every query of every dashboard, or of those named."""
    for dashboard in DASHBOARDS:
        if not names or dashboard.name in names:
            for panel in dashboard.panels:
                for query in panel.queries:
                    yield f"{dashboard.name}: {panel.title}", filled(query.expression), query.legend
