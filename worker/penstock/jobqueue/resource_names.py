"""The names in a JobQueue that become part of somebody's URL, path or query: one rule each, as Kubernetes has it.

The same patterns stand in `crds/jobqueue.yaml`; a contract test compares them. They are checked here once more because
the installed definition may be older than this code, and accept `../../other/secrets/name` as the name of a Secret.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

MAX_NAME: Final = 253
RESOURCE_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z"
"""The name of an object: an RFC 1123 subdomain."""
DATA_KEY: Final = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*\Z"
"""A key of a Secret or ConfigMap; it may be a file's name, so neither '.' nor anything that starts with '..'."""

ResourceName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=RESOURCE_NAME)]
DataKey = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=DATA_KEY)]
LABEL_VALUE: Final = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z"

Labels = Annotated[
    dict[str, Annotated[str, msgspec.Meta(max_length=63, pattern=LABEL_VALUE)]], msgspec.Meta(max_length=64)
]
Annotations = Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=65_536)]], msgspec.Meta(max_length=64)]
IntOrPercent = (
    Annotated[int, msgspec.Meta(ge=0, le=1000)] | Annotated[str, msgspec.Meta(max_length=5, pattern=r"^[0-9]{1,4}%\Z")]
)
"""Pods, as a number or as a percentage of the replicas."""


def is_resource_name(value: object) -> bool:
    """Return True if an object can have that name."""
    return isinstance(value, str) and len(value) <= MAX_NAME and re.match(RESOURCE_NAME, value) is not None
