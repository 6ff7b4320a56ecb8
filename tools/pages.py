"""The generated pages of `docs/`: settings, fields of a JobQueue, commands, metrics. A function gives one page.

Everything comes from the code that is described, so a page cannot be wrong where the code is right. Reads no clock, no
environment and no terminal: the text depends on the source alone.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from typer.testing import CliRunner

from penstock.cli import cli as commands
from penstock.settings import DERIVED, Settings
from penstock_operator.jobqueue.template.pod_template import ADDED
from penstock_operator.settings import OperatorSettings
from tools.monitoring import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

UNBOUNDED: Final = 10_000_000
"""A bound above this is only there against typing errors, and is not worth a table cell."""

_NOTE: Final = "<!-- Made by `make generate`; edits here are lost. -->"
_CONFIGURATION: Final = f"""\
# Configuration

{_NOTE}

Environment variables are the only configuration of a process. Durations are in seconds, with the unit in the name. A
variable that is missing or empty has its default. In a cluster the operator sets the worker's variables from its
JobQueue ([fields](jobqueue.md)); `penstock dev` does the same on a laptop.

## Worker

%s
Instead of a URL you can set its parts, unencoded: `PENSTOCK_DATABASE_HOST`, `PENSTOCK_DATABASE_PORT` (default 5432),
`PENSTOCK_DATABASE_USER`, `PENSTOCK_DATABASE_PASSWORD`, `PENSTOCK_DATABASE_NAME`. A URL takes precedence.
`PENSTOCK_DATABASE_CA_FILE` names a file of certificate authorities that verify the server. If neither `SSL_CERT_FILE`
nor `SSL_CERT_DIR` is set, `SSL_CERT_FILE` becomes the machine's own file of authorities, for `sslrootcert=system`.
`PENSTOCK_DATABASE_CERTIFICATE_FILE` and `PENSTOCK_DATABASE_KEY_FILE`, in PEM, are a client certificate and its key. A
key that other users may read, such as a mounted Secret's, is used from a copy in memory.

## Operator

Separate namespaces by commas; `*` means all of them.

%s"""
_JOBQUEUE: Final = f"""\
# JobQueue

{_NOTE}

Version `penstock.dev/v1alpha1`. The API server and `penstock dev` check a manifest against the same schema and the same
rules; unknown fields are rejected. A complete example is [the shop's](../../examples/shop/jobqueues.yaml).

## Fields

%s
## What the operator adds to the pod template

Null fields of the template are dropped, as the API server drops them. Then each field below is added if the template
does not have it. "Container" means each regular and each init container; a Windows pod gets no security defaults. A
template with wrong types is `WorkersAvailable False TemplateRejected`, and running pods stay as they are.
A spec of more than 128 KiB of JSON, or of more than 10,000 values, is `Ready False InvalidSpec`: put large data into a
ConfigMap.

%s
A variable of the template that the JobQueue determines, such as `PENSTOCK_CONCURRENCY`, is ignored, and
`WorkersAvailable` names it. `PENSTOCK_HTTP_PORT` selects another port, which pods on the host network need.

## Rules

%s"""
_CLI: Final = f"""\
# Command line

{_NOTE}

Also installed as `kubectl-penstock`: `kubectl penstock top --jobqueue emails -n shop` takes the database from the
Secret that the JobQueue names. [Operating](../how-to/operating.md) shows how to use the commands in an incident.

Exit code 0 means success. 2 is bad input: one line on stderr, nothing was written. 1 is a failure that better input
cannot fix, also one line; a failed check of `penstock doctor`, a job that does not exist, a question answered with no.
130 means interrupted.

`-o json` and `-o yaml` print complete values, with durations in seconds, times in ISO 8601 and stable names; tables are
for people and may change. YAML texts are always quoted. Characters that do not print (a task's name may contain an
escape sequence) are escaped in every format. Progress is drawn on stderr if it is a terminal.
"""
_METRICS: Final = f"""\
# Metrics

{_NOTE}

Prometheus' text format. Labels are bounded: queues, tasks of the App (`unknown` for any other) and closed lists; no
metric has a label for a job or a tag. [Monitoring](../how-to/monitoring.md) shows how to scrape and graph them; the
[runbooks](../runbooks/README.md) list the alerts.

In a cluster Prometheus adds `namespace`, `pod`, `container`, `job`, `endpoint` and `instance`, and to workers'
`jobqueue`, from the pod's label. Counters start at zero with their process, and the series of tasks and outcomes exist
from its start.

## Worker

`/metrics` on `PENSTOCK_HTTP_PORT`, next to `/healthz` and `/readyz`.

%s
## Operator

`/metrics` on the operator's `PENSTOCK_HTTP_PORT`. `namespace` and `jobqueue` are those of the JobQueue, `namespace` and
`secret` those of the first Secret that leads to a database. A replica that does not lead shows only metrics about
itself.

%s
## Local mode

`/metrics` of `penstock dev` and of the demo, with the operator's names and labels; `namespace` is `local`. `/sd` lists
the workers for Prometheus' HTTP service discovery.

%s"""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def configuration() -> str:
    """`docs/reference/configuration.md`: the environment of a worker and of the operator."""
    worker = table(("variable", "default", "values", "meaning"), map(_setting, dataclasses.fields(Settings)))
    return _CONFIGURATION % (worker, table(("variable", "default", "meaning"), _operator_settings()))


def _setting(given: dataclasses.Field[Any]) -> tuple[str, ...]:
    facts = given.metadata
    default = "" if given.default in (DERIVED, "") else f"`{_plain(given.default)}`"
    if facts["choices"]:
        values = ", ".join(f"`{choice}`" for choice in facts["choices"])
    elif given.type in ("int", "float"):
        unit = "whole number" if given.type == "int" else "seconds"
        upper = "or more" if facts["high"] > UNBOUNDED else f"to {facts['high']:.12g}"
        values = f"{unit}, {facts['low']:g} {upper}"
    else:
        values = "`true`, `false`" if given.type == "bool" else "text"
    secret = " A credential: given by a Secret, never printed." if facts["secret"] else ""
    return f"`{facts['variable']}`", default, values, facts["doc"] + secret


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _operator_settings() -> Iterator[tuple[str, ...]]:
    text = inspect.getdoc(OperatorSettings) or ""
    docs = dict(re.findall(r"^    (\w+): (.+?)(?=\n    \w+: |\Z)", text, re.DOTALL | re.MULTILINE))
    for given in dataclasses.fields(OperatorSettings):
        made = given.default_factory is not dataclasses.MISSING  # a mapping, empty by default
        value = "auto" if given.default is True else given.default  # its word for "where it can be"
        shown = "" if made or value in ("", ("default",)) else f"`{_plain(value)}`"
        sentence = " ".join(docs[given.name].split())
        yield f"`PENSTOCK_{given.name.upper()}`", shown, sentence[:1].upper() + sentence[1:]


def jobqueue(crd: Path) -> str:
    """`docs/reference/jobqueue.md`: every field of the spec, with values, default and description; and the rules."""
    schema = yaml.safe_load(crd.read_text(encoding="utf-8"))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rows = table(("field of `spec`", "values", "default", "meaning"), _fields(schema["properties"]["spec"], ""))
    added = table(("field of the pod", "value", "not added if"), _additions())
    return _JOBQUEUE % (rows, added, "".join(f"- {message}\n" for message in sorted({*_rules(schema)})))


def _additions() -> Iterator[tuple[str, ...]]:
    for one in ADDED:
        place, _, field = one.field.rpartition(": ")
        where = f" of {'every container' if place == 'container' else 'the container `worker`'}" if place else ""
        yield f"`{field}`{where}", one.value, one.unless


def _fields(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}{'[]' if 'items' in field else ''}"
        default = field.get("default")
        shown = "" if default is None or isinstance(default, dict) else f"`{default}`"
        yield f"`{path}`", _values(field), "required" if name in required else shown, field.get("description", "")
        if name != "template":
            yield from _fields(field.get("items", field), f"{path}.")


def _values(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "minimum" in field and "maximum" in field:
        return f"{field['minimum']} to {field['maximum']}"
    return {"array": "list", "string": "text"}.get(str(field.get("type")), str(field.get("type")))


def _rules(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for inner in schema.get("properties", {}).values():
        yield from _rules(inner)
    if isinstance(schema.get("items"), dict):
        yield from _rules(schema["items"])


def command_names() -> list[str]:
    """Every command as it is typed, those of a group after its name, sorted."""
    names = [str(command.name) for command in commands.registered_commands]
    for group in commands.registered_groups:
        inner = group.typer_instance.registered_commands if group.typer_instance is not None else []
        names += [str(group.name), *(f"{group.name} {command.name}" for command in inner)]
    return sorted(names)


def cli() -> str:
    """`docs/reference/cli.md`: the help of every command."""
    parts = [_CLI]
    for name in ("", *command_names()):
        shown = CliRunner().invoke(
            commands, [*name.split(), "--help"], prog_name="penstock", env={"COLUMNS": "80", "TERM": "dumb"}
        )
        parts.append(f"\n## `{f'penstock {name}'.strip()}`\n\n```text\n{shown.output.strip()}\n```\n")
    return "".join(parts)


def metrics() -> str:
    """`docs/reference/metrics.md`: every metric of worker, operator and local mode."""
    groups = (registry.of_workers(), registry.of_operator(), registry.of_local_mode())
    return _METRICS % tuple(table(("metric", "type", "labels", "meaning"), map(_row, group)) for group in groups)


def _row(metric: registry.Metric) -> tuple[str, ...]:
    return f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.help
