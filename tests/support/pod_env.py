"""What a container starts with: its command line and environment, resolved as the kubelet would.

Owns: `env`, `envFrom`, field references and `$(NAME)` expansion. Must not start anything.

Nothing of the test run's own environment reaches the container; what the process needs (PATH, PYTHONPATH)
belongs to the `Image`, as it would to a real one.
"""

import base64
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# (kind, name) -> the decoded data of a Secret or ConfigMap of the pod's namespace, None if there is none.
Fetch = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
IMAGE_ENV = {
    "PATH": os.defpath,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/nonexistent",
}
"""What the Dockerfile sets in both images."""
LISTENS = "PENSTOCK_HTTP_HOST"
ALL_ADDRESSES = ("::", "0.0.0.0")
_BY_KEY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, slots=True)
class Image:
    """What stands for a container image.

    Args:
        entrypoint: the program and its first arguments; a container's `command` takes its place.
        arguments: the image's default arguments; a container's `args` take their place, and `command` drops them.
        env: the image's environment; a container's own wins.
        folder: working folder, which the pod's user must not be able to write; default the root.
    """

    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class ContainerConfigError(Exception):
    """The container cannot be created as it is written; the kubelet's reason CreateContainerConfigError."""


def decode(kind: str, found: Mapping[str, Any]) -> Mapping[str, str]:
    """The data of a Secret or ConfigMap object as text."""
    data = found.get("data") or {}
    if kind == "Secret":
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return dict(data)


async def environment(
    container: Mapping[str, Any], *, pod: Mapping[str, Any], image: Image, fetch: Fetch
) -> dict[str, str]:
    """The container's whole environment.

    Raises:
        ContainerConfigError: a Secret, ConfigMap or key that is not optional is missing, or a reference is unknown.
    """
    env = {**IMAGE_ENV, "HOSTNAME": pod["metadata"]["name"], **image.env}
    for source in container.get("envFrom", ()):
        for kind, key in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            if key in source:
                data = await _data(kind, source[key], fetch)
                env.update({source.get("prefix", "") + name: value for name, value in data.items()})
    for entry in container.get("env", ()):
        if "valueFrom" in entry:
            value = await _value_from(entry["valueFrom"], pod, fetch)
            if value is not None:
                env[entry["name"]] = value
        else:
            env[entry["name"]] = expand(entry.get("value", ""), env)
    return env


def command_line(container: Mapping[str, Any], *, image: Image, env: Mapping[str, str]) -> list[str]:
    """The container's argument vector.

    Raises:
        ContainerConfigError: neither the container nor its image says what to run.
    """
    arguments = container.get("args", image.arguments if "command" not in container else ())
    line = [*container.get("command", image.entrypoint), *arguments]
    if not line:
        raise ContainerConfigError("no command specified")
    return [expand(word, env) for word in line]


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; an unknown name stays as it is, and `$$` is one dollar."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[1] is None else env.get(found[1], found[0])

    return _REFERENCE.sub(replace, text)


async def _value_from(source: Mapping[str, Any], pod: Mapping[str, Any], fetch: Fetch) -> str | None:
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod)
    for kind, key in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
        if key in source:
            reference = source[key]
            data = await _data(kind, reference, fetch)
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            raise ContainerConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    raise ContainerConfigError(f"unsupported source of a value: {', '.join(source)}")


async def _data(kind: str, reference: Mapping[str, Any], fetch: Fetch) -> Mapping[str, str]:
    data = await fetch(kind, reference["name"])
    if data is None:
        if reference.get("optional"):
            return {}
        raise ContainerConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    return data


def _field(path: str, pod: Mapping[str, Any]) -> str:
    if by_key := _BY_KEY.fullmatch(path):
        return str(pod["metadata"].get(by_key[1], {}).get(by_key[2], ""))
    found: Any = pod
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise ContainerConfigError(f"unsupported or unset field {path}")
        found = found[part]
    return str(found)
