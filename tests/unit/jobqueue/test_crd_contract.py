"""The CRD, the structs and the rules say the same."""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
import yaml

from penstock.jobqueue import rules
from penstock.jobqueue.policy import Executor, Mode, QueuePolicy
from tests.unit.jobqueue.examples import CRD, REPOSITORY, policy

VERSION = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]


def test_the_wheel_carries_the_crd_to_the_byte():
    """What local mode reads is what the cluster gets."""
    copied = REPOSITORY / "worker" / "penstock" / "jobqueue" / "jobqueue.yaml"
    assert copied.read_bytes() == CRD.read_bytes()


def test_every_rule_of_the_crd_has_one_mirror_and_every_mirror_a_rule():
    """Place, text, message and blamed field agree to the letter."""
    stated = {
        (at, one["rule"], one["message"], one.get("fieldPath", "").lstrip(".")) for at, one in rules_of(SCHEMA, "")
    }
    root_field = {"metadata.name"}  # a CRD cannot blame a field of metadata
    mirrored = {(r.at, r.text, r.message, "" if r.field in root_field else r.field) for r in rules.RULES}
    assert stated == mirrored
    assert len(rules.RULES) == len(stated)


def test_every_field_is_described_and_every_number_text_list_and_map_is_bounded():
    """Bounds keep the API server's cost estimate finite, and typing errors out."""
    for path, field in fields_of(SCHEMA, ""):
        if path in {"metadata", "apiVersion", "kind"}:
            continue
        assert field.get("description", "").strip(), path
        if path.startswith("status"):
            continue
        if "x-kubernetes-int-or-string" in field:
            assert {"minimum", "maximum", "pattern", "maxLength"} <= field.keys(), path
            continue
        if field["type"] == "integer":
            assert {"minimum", "maximum", "format"} <= field.keys(), path
        if field["type"] == "string":
            assert "enum" in field or "maxLength" in field, path
        if field["type"] == "array":
            assert {"maxItems", "x-kubernetes-list-type"} <= field.keys(), path
        if "additionalProperties" in field:
            assert "maxProperties" in field, path


def test_no_number_is_a_float_and_every_duration_is_in_whole_seconds():
    """Conventions of the Kubernetes API."""
    numbers = {field.get("type") for _, field in fields_of(SCHEMA, "")}
    assert "number" not in numbers


def test_the_structs_have_the_fields_bounds_and_defaults_of_the_schema():
    """Walks both at once; `template` and `args` stay open."""
    compared = sorted(compare(SPEC, QueuePolicy, "spec"))
    assert len(compared) > 60
    assert "spec.scaling.scaleDown.cooldownSeconds.default" in compared
    assert "spec.worker.app.pattern" in compared


def test_the_defaults_of_objects_are_those_of_their_fields_written_out():
    """An object left out and an object left empty must come to the same."""
    for path, field in fields_of(SCHEMA, ""):
        if field.get("type") == "object" and "default" in field:
            assert field["default"] == defaults_within(field), path


@pytest.mark.parametrize(
    ("column", "path"),
    [
        ("READY", '.status.conditions[?(@.type=="Ready")].status'),
        ("DEPTH", ".status.queue.ready"),
        ("INFLIGHT", ".status.queue.inFlight"),
        ("OLDEST", ".status.queue.oldestReadySeconds"),
        ("DESIRED", ".status.desiredReplicas"),
        ("REPLICAS", ".status.replicas"),
        ("WHY", ".status.decision.bound"),
        ("AGE", ".metadata.creationTimestamp"),
    ],
)
def test_kubectl_get_prints_what_an_on_call_engineer_asks_first(column, path):
    """The columns without -o wide, in this order."""
    shown = [one for one in VERSION["additionalPrinterColumns"] if not one.get("priority")]
    found = next(one for one in shown if one["name"] == column)
    assert found["jsonPath"] == path
    assert [one["name"] for one in shown] == [
        "READY",
        "DEPTH",
        "INFLIGHT",
        "OLDEST",
        "DESIRED",
        "REPLICAS",
        "WHY",
        "AGE",
    ]


def test_demand_left_out_follows_the_concurrency():
    """Defaults that a schema cannot say."""
    worker = policy(worker__concurrency=9).worker
    assert (worker.asks_again_at, worker.holds_at_most) == (4, 9)
    assert worker.executor is Executor.ASYNC
    assert policy().scaling.mode is Mode.AUTO
    assert policy().queue_name == "emails"


def rules_of(schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in schema.get("x-kubernetes-validations", ()):
        yield at, one
    for name, field in schema.get("properties", {}).items():
        yield from rules_of(field, f"{at}.{name}".lstrip("."))
    if "items" in schema:
        yield from rules_of(schema["items"], f"{at}[]")


def fields_of(schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if at:
        yield at, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields_of(field, f"{at}.{name}".lstrip("."))
    if "items" in schema:
        yield from fields_of(schema["items"], f"{at}[]")


def defaults_within(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: field["default"] for name, field in schema.get("properties", {}).items() if "default" in field}


def compare(schema: Mapping[str, Any], struct: Any, at: str) -> Iterator[str]:
    """Assert that a struct mirrors an object of the schema; yields what was compared."""
    described = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert set(described) == set(schema["properties"]), at
    for name, field in schema["properties"].items():
        here, mirror = f"{at}.{name}", described[name]
        if name == "template":
            continue
        kind, meta = unwrapped(mirror.type)
        default = default_of(mirror)
        if field.get("type") == "object" and field.get("x-kubernetes-preserve-unknown-fields"):
            assert (kind, meta.max_length if meta else None) == (dict[str, Any], field["maxProperties"]), here
            continue
        if name == "queueName":
            assert "default" not in field, here  # metadata.name, filled in by the parser
        elif name in schema.get("required", ()):
            assert default is msgspec.NODEFAULT, here
        elif field.get("type") == "object":
            assert (default is None) == ("default" not in field), here
        else:
            assert default == field.get("default"), here
            yield f"{here}.default"
        whole = mirror.type if "x-kubernetes-int-or-string" in field else kind
        yield from compare_type(field, whole, meta, here)


def compare_type(field: Mapping[str, Any], kind: Any, meta: msgspec.Meta | None, at: str) -> Iterator[str]:
    if "x-kubernetes-int-or-string" in field:
        yield from compare_int_or_string(field, kind, at)
    elif "additionalProperties" in field:
        yield from compare_map(field, kind, meta, at)
    elif field["type"] == "object":
        yield from compare(field, kind, at)
    elif field["type"] == "array":
        assert meta is not None
        assert meta.max_length == field["maxItems"], at
        yield from compare(field["items"], typing.get_args(kind)[0], f"{at}[]")
    elif "enum" in field:
        assert issubclass(kind, enum.StrEnum), at
        assert [member.value for member in kind] == field["enum"], at
        yield f"{at}.enum"
    elif field["type"] == "boolean":
        assert kind is bool, at
    else:
        assert kind is {"integer": int, "string": str}[field["type"]], at
        assert meta is not None, at
        for ours, theirs in (("ge", "minimum"), ("le", "maximum"), ("min_length", "minLength")):
            assert getattr(meta, ours) == field.get(theirs), f"{at}.{theirs}"
        assert meta.max_length == field.get("maxLength"), at
        assert (meta.pattern or "") == field.get("pattern", "").replace("$", r"\Z"), at
        yield f"{at}.pattern"


def compare_int_or_string(field: Mapping[str, Any], kind: Any, at: str) -> Iterator[str]:
    """A union of a number and a text, each with its bounds."""
    found = {one: meta for one, meta in (unwrapped(each) for each in typing.get_args(kind)) if one is not type(None)}
    number, text = found[int], found[str]
    assert number is not None
    assert text is not None
    assert (number.ge, number.le) == (field["minimum"], field["maximum"]), at
    assert text.max_length == field["maxLength"], at
    assert text.pattern == field["pattern"].replace("$", r"\Z"), at
    yield f"{at}.pattern"


def compare_map(field: Mapping[str, Any], kind: Any, meta: msgspec.Meta | None, at: str) -> Iterator[str]:
    """A map of texts: how many, and the bounds of each."""
    value, bounds = unwrapped(typing.get_args(kind)[1])
    each = field["additionalProperties"]
    assert meta is not None
    assert bounds is not None
    assert (typing.get_origin(kind), value, meta.max_length) == (dict, str, field["maxProperties"]), at
    assert bounds.max_length == each["maxLength"], at
    assert (bounds.pattern or "") == each.get("pattern", "").replace("$", r"\Z"), at
    yield f"{at}.pattern"


def unwrapped(annotation: Any) -> tuple[Any, msgspec.Meta | None]:
    """The type and its bounds, without `| None` and `Annotated`."""
    meta = None
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, meta = typing.get_args(annotation)[:2]
            continue
        some = [one for one in typing.get_args(annotation) if one is not type(None)]
        if type(None) in typing.get_args(annotation):
            annotation = some[0]
            continue
        return annotation, meta


def default_of(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    default = field.default
    return list(default) if isinstance(default, tuple) else default
