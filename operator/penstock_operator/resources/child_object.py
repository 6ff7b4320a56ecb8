"""A PodDisruptionBudget or PodMonitor of a JobQueue as last listed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .adoption import Meta
from .resource import CHILD_SUFFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildObject:
    """Another object of a JobQueue as last seen; `jobqueue` is the name of whose child it is."""

    uid: str
    namespace: str
    name: str
    resource_version: str
    jobqueue: str
    meta: Meta = field(repr=False)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The view of an API object."""
        metadata = found["metadata"]
        return cls(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            resource_version=metadata["resourceVersion"],
            jobqueue=metadata["name"].removesuffix(CHILD_SUFFIX),
            meta=Meta.read(metadata),
        )
