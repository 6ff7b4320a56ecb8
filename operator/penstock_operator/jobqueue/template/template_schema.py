"""Checks the fields of a pod template that the operator reads: drops nulls, checks types. Pure.

The definition's schema passes a PodSpec on almost unseen, so anything may arrive here. Null fields are dropped, as the
API server drops them from a pod; a value of the wrong type is one error that names its path, the rule and the value.
Fields that the operator never reads are the API server's to judge: its refusal ends in the same condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import Refused

ROOT: Final = "spec.worker.template"
MAX_DEPTH: Final = 64
"""Levels of nesting; a valid PodSpec has fewer than twenty."""
_SHOWN: Final = 60


class InvalidTemplate(Refused):
    """The pod template cannot be completed; the message names path, rule and value."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One type of value. `fields` are those of an object that are checked, `each` the type of a list's or map's values.

    `choices` are the JSON types that are accepted; an object's fields that are not named are not checked.
    """

    rule: str
    choices: tuple[type, ...]
    fields: Mapping[str, Shape] = field(default_factory=dict)
    each: Shape | None = None
    required: tuple[str, ...] = ()


TEXT: Final = Shape("text (a number or true needs quotes)", (str,))
WHOLE: Final = Shape("a whole number", (int,))
FLAG: Final = Shape("true or false", (bool,))
PORT: Final = Shape("a port's number or name", (int, str))
ANYTHING: Final = Shape("an object", (dict,))


def _object(*required: str, **fields: Shape) -> Shape:
    return Shape("an object", (dict,), fields=fields, required=required)


def _list(each: Shape) -> Shape:
    return Shape("a list", (list,), each=each)


def _map(each: Shape) -> Shape:
    return Shape("an object", (dict,), each=each)


_LABELS: Final = _map(TEXT)
_LINUX: Final = {
    "runAsUser": WHOLE,
    "runAsGroup": WHOLE,
    "runAsNonRoot": FLAG,
    "seccompProfile": _object(type=TEXT),
    "windowsOptions": ANYTHING,
}
_CHECK: Final = {"path": TEXT, "host": TEXT, "scheme": TEXT, "port": PORT}
_HANDLERS: Final = {
    "httpGet": _object(**_CHECK),
    "tcpSocket": _object(host=TEXT, port=PORT),
    "grpc": _object(port=WHOLE, service=TEXT),
    "exec": _object(command=_list(TEXT)),
    "sleep": _object(seconds=WHOLE),
}
_PROBE: Final = _object(
    **_HANDLERS,
    initialDelaySeconds=WHOLE,
    periodSeconds=WHOLE,
    timeoutSeconds=WHOLE,
    successThreshold=WHOLE,
    failureThreshold=WHOLE,
    terminationGracePeriodSeconds=WHOLE,
)
_CONTAINER: Final = _object(
    "name",
    "image",
    name=TEXT,
    image=TEXT,
    imagePullPolicy=TEXT,
    workingDir=TEXT,
    restartPolicy=TEXT,
    stdin=FLAG,
    tty=FLAG,
    command=_list(TEXT),
    args=_list(TEXT),
    env=_list(_object("name", name=TEXT, value=TEXT, valueFrom=ANYTHING)),
    envFrom=_list(_object(prefix=TEXT, configMapRef=ANYTHING, secretRef=ANYTHING)),
    ports=_list(
        _object(
            "containerPort",
            name=TEXT,
            containerPort=WHOLE,
            hostPort=WHOLE,
            protocol=TEXT,
            hostIP=TEXT,
        )
    ),
    resources=_object(limits=ANYTHING, requests=ANYTHING, claims=_list(ANYTHING)),
    volumeMounts=_list(_object("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=FLAG, subPath=TEXT)),
    volumeDevices=_list(ANYTHING),
    livenessProbe=_PROBE,
    readinessProbe=_PROBE,
    startupProbe=_PROBE,
    lifecycle=_object(preStop=_object(**_HANDLERS), postStart=_object(**_HANDLERS), stopSignal=TEXT),
    terminationMessagePath=TEXT,
    terminationMessagePolicy=TEXT,
    securityContext=_object(
        **_LINUX,
        privileged=FLAG,
        allowPrivilegeEscalation=FLAG,
        readOnlyRootFilesystem=FLAG,
        procMount=TEXT,
        capabilities=_object(add=_list(TEXT), drop=_list(TEXT)),
    ),
)
_SPEC: Final = _object(
    "containers",
    containers=_list(_CONTAINER),
    initContainers=_list(_CONTAINER),
    ephemeralContainers=_list(ANYTHING),
    volumes=_list(_object("name", name=TEXT)),
    securityContext=_object(
        **_LINUX, fsGroup=WHOLE, fsGroupChangePolicy=TEXT, supplementalGroups=_list(WHOLE), sysctls=_list(ANYTHING)
    ),
    tolerations=_list(_object(key=TEXT, operator=TEXT, value=TEXT, effect=TEXT, tolerationSeconds=WHOLE)),
    os=_object(name=TEXT),
    nodeSelector=_LABELS,
    affinity=ANYTHING,
    topologySpreadConstraints=_list(ANYTHING),
    imagePullSecrets=_list(_object(name=TEXT)),
    hostAliases=_list(ANYTHING),
    dnsConfig=ANYTHING,
    dnsPolicy=TEXT,
    serviceAccountName=TEXT,
    serviceAccount=TEXT,
    automountServiceAccountToken=FLAG,
    enableServiceLinks=FLAG,
    hostNetwork=FLAG,
    hostPID=FLAG,
    hostIPC=FLAG,
    hostUsers=FLAG,
    shareProcessNamespace=FLAG,
    hostname=TEXT,
    restartPolicy=TEXT,
    terminationGracePeriodSeconds=WHOLE,
    activeDeadlineSeconds=WHOLE,
    nodeName=TEXT,
    priorityClassName=TEXT,
    runtimeClassName=TEXT,
    schedulerName=TEXT,
)
TEMPLATE: Final = _object("spec", metadata=_object(labels=_LABELS, annotations=_LABELS), spec=_SPEC)


def normalized(template: object) -> dict[str, Any]:
    """A copy of the template without null fields, whose types are those of a pod template.

    Raises:
        InvalidTemplate: a value of the wrong type, a null in a list, a missing name or image, or absurd nesting.
    """
    cleaned = _without_nulls(template, ROOT, 0)
    for path, rule, value in _broken(cleaned, TEMPLATE, ROOT):
        raise InvalidTemplate(f"{path} must be {rule}, got {_shown(value, path)}", status=422)
    made: dict[str, Any] = cleaned
    return made


def _without_nulls(value: object, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidTemplate(f"{path[:200]}… must not be nested deeper than {MAX_DEPTH} levels", status=422)
    if isinstance(value, Mapping):
        return {
            str(name): _without_nulls(one, f"{path}.{name}", depth + 1)
            for name, one in value.items()
            if one is not None
        }
    if isinstance(value, list):
        for index, one in enumerate(value):
            if one is None:
                raise InvalidTemplate(f"{path}[{index}] must not be null: remove the empty entry", status=422)
        return [_without_nulls(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(value)]
    return value


def _broken(value: Any, shape: Shape, path: str) -> Iterator[tuple[str, str, Any]]:
    """Path, rule and value of what does not fit, the outermost first."""
    # JSON has one kind of number: 60.0 is whole for the API server, and true is no number.
    whole = isinstance(value, float) and int in shape.choices and value.is_integer()
    if not (whole or isinstance(value, shape.choices)) or (isinstance(value, bool) and bool not in shape.choices):
        yield path, shape.rule, value
        return
    if isinstance(value, dict):
        for name in shape.required:
            if name not in value or value[name] == "":
                yield f"{path}.{name}", "given", None
        for name, one in value.items():
            expected = shape.fields.get(name, shape.each)
            if expected is not None:
                yield from _broken(one, expected, f"{path}.{name}")
    elif isinstance(value, list) and shape.each is not None:
        for index, one in enumerate(value):
            yield from _broken(one, shape.each, f"{path}[{index}]")


def _shown(value: object, path: str) -> str:
    """The value as an error repeats it; the value of a variable may be a credential, so only its type."""
    kinds: dict[type, str] = {dict: "an object", list: "a list", bool: "true or false", int: "a number"}
    if value is None:
        return "nothing"
    if isinstance(value, dict | list) or path.endswith("].value"):
        return kinds.get(type(value), "a number")
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
