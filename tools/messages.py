"""The snapshot of messages: every text of the product that a person may read, sorted by module, for review as a diff.

Read from the source by its syntax tree, so it needs nothing running: errors, log lines with the names of their fields,
help and output of commands, conditions, explanations, descriptions of settings, metrics and the JobQueue, alerts.
Docstrings are left out, except where typer or a generated page shows them. `{}` stands for a value, `{NAME}` for a
constant. A text counts if it has two words, or if it is given to a log call or an error. SQL is no message; what it
raises is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tools.words import joined

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("worker/penstock", "operator/penstock_operator")
NOTE: Final = "# Every text that leaves a process, by module. Made by `make generate` from the source; do not edit.\n"
LEVELS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
SETTINGS: Final = frozenset({"OperatorSettings"})
"""Classes whose docstring is made into a page of settings."""
_SQL: Final = re.compile(
    r"\s*(?:--|SELECT|INSERT|UPDATE|DELETE|WITH|SET|GRANT|REVOKE|CREATE|ALTER|DROP|LOCK|COPY)\b[^a-z]"
)
_RAISED: Final = re.compile(r"(?:RAISE (?:EXCEPTION|WARNING|NOTICE)|'message',\s*(?:format\()?)\s*'((?:[^']|'')+)'")


def text() -> str:
    """The snapshot."""
    parts = [NOTE]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = path.relative_to((ROOT / package).parent).with_suffix("").as_posix().replace("/", ".")
            parts += _section(module.removesuffix(".__init__"), of_module(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / package).rglob("functions/*.sql")):
            parts += _section(path.relative_to(ROOT).as_posix(), of_sql(path.read_text(encoding="utf-8")))
    for name in ("crds/jobqueue.yaml", "charts/penstock/files/alerts.yaml"):
        parts += _section(name, of_yaml(yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))))
    return "".join(parts)


def _section(name: str, lines: Iterable[str]) -> list[str]:
    lines = sorted({*lines})
    return [f"\n[{name}]\n", *(f"{line}\n" for line in lines)] if lines else []


def of_sql(source: str) -> Iterator[str]:
    """What a function of the database raises or writes as an error's message."""
    for found in _RAISED.finditer(source):
        yield f"sql: {found[1].replace(chr(39) * 2, chr(39))}"


def of_yaml(found: Any, path: str = "") -> Iterator[str]:
    """Descriptions, rules' messages and summaries, each with where it stands."""
    for key, value in found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ():
        if key in {"description", "message", "summary"} and isinstance(value, str):
            yield f"{path.strip('.') or 'resource'} {key}: {_line(value)}"
        elif key == "annotations":
            yield from of_yaml(value, str(found.get("alert", path)))
        else:
            step = "" if isinstance(key, int) or key in _STRUCTURE else f".{key}"
            yield from of_yaml(value, f"{path}{step}")


_STRUCTURE: Final = frozenset({"spec", "versions", "schema", "openAPIV3Schema", "properties", "items"})


def of_module(source: str) -> Iterator[str]:
    """The messages of one module, each with its kind before it."""
    tree = ast.parse(source)
    taken: set[int] = set()
    yield from _shown_docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _error(node.exc, taken)
        elif isinstance(node, ast.Call):
            yield from _call(node, taken)
    for node in ast.walk(tree):
        if id(node) in taken or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            taken |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            if (said := _said(node)) is not None and _is_prose(said):
                yield f"text: {_line(said)}"
            taken |= {id(part) for part in ast.walk(node)}


def _shown_docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            shown = any(map(_is_command, node.decorator_list))
        elif isinstance(node, ast.ClassDef):
            shown = node.name in SETTINGS
        else:
            continue
        if shown:  # a line for each field, where there are some
            head, *fields = re.split(r"\n {4}(?=\w+: )", ast.get_docstring(node) or "")
            yield from (f"help {node.name}: {_line(text)}" for text in (head, *fields))


def _is_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in {"command", "callback"}


def _call(node: ast.Call, taken: set[int]) -> Iterator[str]:
    """A log line, a help text, output of a command or an error."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in LEVELS and isinstance(node.func, ast.Attribute) and _is_logger(node.func.value):
        at = 1 if name == "log" else 0
        if len(node.args) > at and (said := _said(node.args[at])) is not None:
            taken.add(id(node.args[at]))
            fields = sorted(_fields(node))
            shown = ", ".join(fields)
            yield f"log {name}: {_line(said)}{f' [{shown}]' if fields else ''}"
        return
    for given in node.keywords:
        if given.arg == "help" and (said := _said(given.value)) is not None:
            taken.add(id(given.value))
            yield f"help: {_line(said)}"
    if name in {"compile", "cast"} and node.args:  # a pattern, a type
        taken.add(id(node.args[0]))
    if name in {"echo", "print", "confirm", "prompt"} and node.args and (said := _said(node.args[0])) is not None:
        taken.add(id(node.args[0]))
        if said.strip("{} "):
            yield f"echo: {_line(said)}"


def _error(raised: ast.Call, taken: set[int]) -> Iterator[str]:
    """What an exception is made with: its first text."""
    called = raised.func
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id[:1].isupper():
        called = called.value  # a constructor by another name
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    for given in raised.args:
        if (said := _said(given)) is not None and _is_prose(said):
            taken.add(id(given))
            yield f"error {name}: {_line(said)}"


def _is_logger(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return "log" in name.lower()


def _fields(node: ast.Call) -> Iterator[str]:
    for given in node.keywords:
        if given.arg != "extra":
            continue
        if isinstance(given.value, ast.Dict):
            yield from (str(key.value) for key in given.value.keys if isinstance(key, ast.Constant))
        elif isinstance(given.value, ast.Call):
            yield from (str(one.arg) for one in given.value.keywords if one.arg)


def _said(node: ast.expr) -> str | None:
    """The text of a literal, or of literals joined by `+`."""
    if isinstance(node, ast.JoinedStr):
        return joined(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _is_prose(said: str) -> bool:
    """Two words at least, and no SQL."""
    return re.search(r"[A-Za-z]{2,}", said) is not None and " " in said.strip() and not _SQL.match(said)


def _line(said: str) -> str:
    return " ".join(said.split())
