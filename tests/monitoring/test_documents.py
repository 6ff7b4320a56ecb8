"""The steps of docs/how-to/monitoring.md, carried out."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import helm_python
from tools.monitoring.alerts import ALERTS

from tests.support.chart import only, render
from tests.unit.docs.pages import page

EXAMPLE = Path(__file__).parents[2] / "examples" / "monitoring" / "prometheus.yaml"


def test_the_values_that_are_set_on_the_page_are_values_of_the_chart():
    """Every `helm` line, with its shell variables filled in; the schema refuses what is misspelt."""
    variables: dict[str, str] = {}
    rendered = []
    for line in page("docs/how-to/monitoring.md").commands():
        if found := re.fullmatch(r"([A-Z]+)=(\S+)", line):
            variables[found[1]] = found[2]
        elif line.startswith("helm "):
            for name, value in variables.items():
                line = line.replace(f"${name}", value)  # noqa: PLW2901
            words = shlex.split(line)
            values = helm_python.parse_set_string(words[words.index("--set") + 1])
            rendered.append(
                only(
                    render({**values, "prometheusRule": {"render": "always", **values["prometheusRule"]}}),
                    "PrometheusRule",
                )
            )
    labelled, changed = rendered
    assert labelled["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    rules = {rule["alert"]: rule for rule in changed["spec"]["groups"][0]["rules"]}
    assert len(rules) == len(ALERTS) - 1
    assert rules["PenstockNotDraining"]["for"] == "2h"
    assert rules["PenstockDeadLetters"]["expr"].endswith("> 10")


def test_prometheus_accepts_the_example_for_a_laptop(promtool: str):
    """As it stands."""
    done = subprocess.run([promtool, "check", "config", EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
