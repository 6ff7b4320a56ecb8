"""Pod templates for property tests: a rich one, with anything in the place of any of its parts."""

from __future__ import annotations

import copy
from typing import Any, Final

from hypothesis import strategies as st

RICH: Final[dict[str, Any]] = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"linkerd.io/inject": "enabled"}, "creationTimestamp": None},
    "spec": {
        "containers": [
            {
                "name": "worker",
                "image": "shop:1",
                "command": ["penstock"],
                "args": ["worker", "$(PENSTOCK_POD_NAME)"],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "PENSTOCK_HTTP_PORT", "value": "7001"},
                ],
                "envFrom": [{"secretRef": {"name": "s"}}, {"prefix": "P_", "configMapRef": {"name": "c"}}],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"containerPort": 9464}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": 1}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp", "readOnly": False}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                "livenessProbe": {"periodSeconds": 5},
                "startupProbe": {"exec": {"command": ["true"]}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
                "securityContext": {
                    "runAsUser": 7,
                    "runAsNonRoot": True,
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            },
            {"name": "other", "image": "o:1", "ports": [{"containerPort": 9464, "protocol": "UDP"}]},
        ],
        "initContainers": [
            {"name": "chown", "image": "c", "command": ["chown"], "securityContext": {"runAsUser": 0}},
            {"name": "proxy", "image": "p", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 5432}}},
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "securityContext": {"fsGroup": 9, "runAsUser": 7, "sysctls": [{"name": "n", "value": "1"}]},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "os": {"name": "linux"},
        "serviceAccountName": "mailer",
        "automountServiceAccountToken": True,
        "hostNetwork": False,
        "hostUsers": True,
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 7200,
        "imagePullSecrets": [{"name": "r"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [],
    },
}
"""Every field that the operator reads, and some that it does not."""

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"name": None}),
    st.just([[]]),
    st.just([{}]),
)


def paths(value: Any, *, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value in a tree."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for name, one in inner for path in paths(one, here=(*here, name)))]


_PATHS: Final = [path for path in paths(RICH) if path]


def changed(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    """The rich template with those values at those places, as far as they are still there."""
    made = copy.deepcopy(RICH)
    for path, value in changes:
        place: Any = made
        try:
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    return made


broken_templates = st.lists(st.tuples(st.sampled_from(_PATHS), JUNK), max_size=4).map(changed)
"""The rich template with up to four values replaced by null or by anything else."""

_CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": st.sampled_from([0, 7]),
        "runAsNonRoot": st.sampled_from([None, False, True]),
        "privileged": st.booleans(),
        "allowPrivilegeEscalation": st.booleans(),
        "capabilities": st.sampled_from(
            [None, {}, {"add": ["SYS_ADMIN"]}, {"add": ["CAP_SYS_ADMIN"]}, {"drop": ["X"]}]
        ),
        "seccompProfile": st.sampled_from([None, {"type": "Unconfined"}]),
        "procMount": st.sampled_from(["Default", "Unmasked"]),
    },
)
_PORT = st.fixed_dictionaries(
    {"containerPort": st.sampled_from([80, 9464, 9465])},
    optional={
        "name": st.sampled_from(["http", "penstock", "metrics", "penstock-0"]),
        "protocol": st.sampled_from(["TCP", "UDP"]),
        "hostPort": st.sampled_from([80, 9464, 9465]),
    },
)
_CONTAINER = st.fixed_dictionaries(
    {"image": st.just("i")},
    optional={
        "securityContext": st.none() | _CONTEXT,
        "ports": st.none()
        | st.lists(_PORT, max_size=3, unique_by=lambda one: (one["containerPort"], one.get("protocol", "TCP"))),
        "env": st.lists(st.sampled_from(["A", "PENSTOCK_HTTP_PORT", "PENSTOCK_QUEUE"]), max_size=2, unique=True).map(
            lambda names: [{"name": name, "value": "9465"} for name in names]
        ),
        "lifecycle": st.sampled_from([None, {"preStop": {"sleep": {"seconds": 5}}}]),
        "livenessProbe": st.sampled_from([None, {"tcpSocket": {"port": 80}}, {"grpc": {"port": 80}}]),
    },
)
_POD_CONTEXT = st.fixed_dictionaries({}, optional={"runAsUser": st.sampled_from([0, 7]), "fsGroup": st.just(3)})
likely_templates = st.builds(
    lambda worker, other, first, spec: {
        "spec": {
            "containers": [{"name": "worker", **worker}, {"name": "other", **other}],
            "initContainers": [{"name": "first", "image": "i", **first}],
            **spec,
        }
    },
    _CONTAINER,
    _CONTAINER,
    st.fixed_dictionaries({}, optional={"restartPolicy": st.just("Always"), "securityContext": _CONTEXT}),
    st.fixed_dictionaries(
        {},
        optional={
            "securityContext": st.none() | _POD_CONTEXT,
            "hostNetwork": st.booleans(),
            "hostUsers": st.just(False),
            "os": st.sampled_from([None, {"name": "linux"}]),
            "serviceAccountName": st.just("x"),
            "tolerations": st.sampled_from([None, [], [{"operator": "Exists"}]]),
        },
    ),
)
"""Templates of right types, in the corners where defaults of ours could contradict them."""
