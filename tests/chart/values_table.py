"""The README's table of values, made from the comments of values.yaml; `python -m tests.chart.values_table` writes it.

A comment that starts with `# --` describes the value below it. Every value has one: a value without is an error.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.support.chart import CHART

START, END = "<!-- values: start -->", "<!-- values: end -->"
_KEY = re.compile(r"( *)([A-Za-z][A-Za-z0-9]*):")


def table() -> str:
    """The table in Markdown, in the order of the file.

    Raises:
        ValueError: a value that nobody describes.
    """
    text = (CHART / "values.yaml").read_text()
    defaults, comments = yaml.safe_load(text), dict(_descriptions(text))
    paths = list(_leaves(defaults, comments))
    if silent := [path for path in paths if path not in comments]:
        raise ValueError(f"values.yaml does not describe {', '.join(silent)}")
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path in paths:
        default = json.dumps(_at(defaults, path))
        lines.append(f"| `{path}` | `{default}` | {comments[path]} |")
    return "\n".join(lines)


def readme() -> str:
    """The README with its table as it should be."""
    text = (CHART / "README.md").read_text()
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}\n{table()}\n{END}{tail}"


def _descriptions(text: str) -> Iterator[tuple[str, str]]:
    parents: list[str] = []
    comments: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comments = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comments:
            comments.append(stripped.removeprefix("# "))
        elif found := _KEY.match(line):
            parents = [*parents[: len(found[1]) // 2], found[2]]
            if comments:
                yield ".".join(parents), " ".join(comments)
            comments = []


def _leaves(values: Mapping[str, Any], comments: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = prefix + name
        if isinstance(value, dict) and value and path not in comments:
            yield from _leaves(value, comments, f"{path}.")
        else:
            yield path


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())
