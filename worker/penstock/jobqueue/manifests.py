"""JobQueue manifests from YAML files, with the validation and the defaults of the API server.

Owns reading the documents, the CRD's schema (the copy in the wheel), its defaults and rules, and errors that name file,
document, resource and field. Must not run anything. Unknown fields are rejected, as by `kubectl apply`. Documents of
other kinds are skipped, which lets one file serve a laptop and a cluster.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml
from jsonschema.exceptions import relevance

from penstock.errors import ManifestError
from penstock.jobqueue.policy import QueuePolicy, parse_policy
from penstock.jobqueue.resource_names import RESOURCE_NAME
from penstock.jobqueue.rules import violations

API_GROUP: Final = "penstock.dev/"
API_VERSION: Final = f"{API_GROUP}v1alpha1"
_INT_BITS: Final = {"int32": 31, "int64": 63}
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One JobQueue of a file.

    `content` is the manifest with the CRD's defaults applied; `document` counts from 1.
    """

    file: Path
    document: int
    name: str
    policy: QueuePolicy
    content: Mapping[str, Any]


def load_manifests(path: Path | str) -> list[Manifest]:
    """The JobQueues of a YAML file, in order.

    Raises:
        ManifestError: the file cannot be read, is not YAML or contains no JobQueue; a JobQueue breaks the schema or a
            rule; or two have the same name or queue. The message names file, document, metadata.name, field, rule and
            value.
    """
    file = Path(path)
    found: list[Manifest] = []
    for number, content in enumerate(_documents(file), start=1):
        if content is None or not _is_ours(content):
            continue
        manifest = _manifest(file, number, content)
        for other in found:
            if other.name == manifest.name or other.policy.queue_name == manifest.policy.queue_name:
                shared = "name" if other.name == manifest.name else f"queue {manifest.policy.queue_name!r}"
                where = _where(file, number, manifest.name)
                raise ManifestError(f"{where}: document {other.document} has the same {shared} ({other.name})")
        found.append(manifest)
    if not found:
        raise ManifestError(f"{file}: contains no JobQueue of {API_VERSION}")
    return found


def _documents(file: Path) -> list[Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: is not UTF-8 text") from error
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ManifestError(f"{file}{line}: is not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{file}: is not valid YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Rejects duplicate keys, as the API server does; YAML would let the later one win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _is_ours(content: Any) -> bool:
    if not isinstance(content, Mapping):
        return True  # the schema rejects it and names its place
    version = content.get("apiVersion")
    return "kind" not in content or version is None or str(version).startswith(API_GROUP)


def _manifest(file: Path, number: int, given: Any) -> Manifest:
    metadata = given.get("metadata") if isinstance(given, Mapping) else None
    name = str(metadata.get("name", "?")) if isinstance(metadata, Mapping) else "?"
    where = _where(file, number, name)
    schema, validator = _schema()
    content = with_defaults(given, schema)
    errors = sorted(validator.iter_errors(content), key=lambda error: ([*map(str, error.absolute_path)], error.message))
    if errors:
        raise ManifestError(f"{where}: {_message(min(errors, key=relevance) if len(errors) > 1 else errors[0])}")
    for violation in violations(content):
        raise ManifestError(f"{where}: {violation}")
    return Manifest(file=file, document=number, name=name, policy=parse_policy(content), content=content)


def _where(file: Path, number: int, name: str) -> str:
    return f"{file}, document {number}, JobQueue {name}"


def _message(error: jsonschema.ValidationError) -> str:
    """Field, rule and value; only scalars are repeated, because others may be large or contain a credential."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        extra = next(str(key) for key in error.instance if key not in known)
        return f"{path}.{extra}".lstrip(".") + f": unknown field; known fields: {', '.join(sorted(known))}"
    if error.validator == "required" and isinstance(error.instance, Mapping):
        required: Any = error.validator_value
        missing = next(str(key) for key in required if key not in error.instance)
        return f"{path}.{missing}".lstrip(".") + ": required"
    value = error.instance
    shown = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return f"{path or 'document'}: {_rule(error)}; got {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + '…'}"


def _rule(error: jsonschema.ValidationError) -> str:
    words = {
        "type": "must be of type",
        "enum": "must be one of",
        "const": "must be",
        "minimum": "must be at least",
        "maximum": "must be at most",
        "minLength": "length must be at least",
        "maxLength": "length must be at most",
        "minItems": "items must be at least",
        "maxItems": "items must be at most",
        "pattern": "must match",
    }
    word = words.get(str(error.validator))
    if word is None:
        return error.message
    limit = error.validator_value
    return f"{word} {', '.join(map(str, limit)) if isinstance(limit, list) else limit}"


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of `value` with the schema's defaults, at every level whose parent is given.

    As in the API server, a null is replaced by the schema's default, or removed if there is none; a null in an unknown
    field stays.
    """
    if isinstance(value, list):
        return [with_defaults(one, schema.get("items", {})) for one in value]
    if not isinstance(value, Mapping):
        return value
    properties: Mapping[str, Any] = schema.get("properties", {})
    each = schema.get("additionalProperties")
    known: Mapping[str, Any] = dict.fromkeys(value, each) if isinstance(each, Mapping) else properties
    needed = schema.get("required", ())  # a null there is rejected by the schema
    completed = {name: one for name, one in value.items() if one is not None or name in needed or name not in known}
    for name, field in properties.items():
        if completed.get(name) is None and "default" in field:
            completed[name] = copy.deepcopy(field["default"])
    return {name: with_defaults(one, properties.get(name, {})) for name, one in completed.items()}


@functools.cache
def _schema() -> tuple[Mapping[str, Any], Any]:
    """The CRD's schema, and a validator for it in JSON Schema."""
    text = resources.files(__package__).joinpath("jobqueue.yaml").read_text(encoding="utf-8")
    openapi = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    strict = _json_schema(openapi)
    strict["required"] = ["apiVersion", "kind", "metadata", "spec"]
    strict["properties"] |= {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": "JobQueue"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "maxLength": 253, "pattern": RESOURCE_NAME}},
        },
    }
    validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, {"x-kubernetes-list-map-keys": _list_map_keys}
    )
    return openapi, validator(strict)


def _json_schema(openapi: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI v3 schema of a CRD as JSON Schema: no additional properties, and integers of the given width."""
    made = {key: value for key, value in openapi.items() if key not in {"default", "x-kubernetes-validations"}}
    if "properties" in made:
        made["properties"] = {name: _json_schema(field) for name, field in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), Mapping):
            made[key] = _json_schema(made[key])
    if made.get("format") in _INT_BITS:
        bits = _INT_BITS[made["format"]]
        made = {"minimum": -(2**bits), "maximum": 2**bits - 1, **made}
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
    if "pattern" in made:
        made["pattern"] = made["pattern"].removesuffix("$") + r"\Z"  # Python's $ allows a trailing newline
    return made


def _list_map_keys(_validator: Any, keys: list[str], value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    seen: set[tuple[Any, ...]] = set()
    for one in value if isinstance(value, list) else ():
        key = tuple(str(one.get(name)) for name in keys) if isinstance(one, Mapping) else None
        if key in seen:
            yield jsonschema.ValidationError(f"{', '.join(keys)} {', '.join(map(repr, key or ()))} must be unique")
        if key is not None:
            seen.add(key)
