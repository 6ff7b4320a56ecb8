"""The decoded content of one Secret. Pure; its values are in no repr and no message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import ClusterError, NotFound, Refused


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A Secret as it was read; `version` names this state of it, uid included."""

    name: str
    version: str
    data: Mapping[str, str] = field(repr=False)
    """The values as the API has them, in base64."""

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The view of an API object."""
        metadata = found["metadata"]
        return cls(
            name=metadata["name"],
            version=f"{metadata['uid']}.{metadata['resourceVersion']}",
            data=dict(found.get("data") or {}),
        )

    def text(self, key: str) -> str | ClusterError:
        """The value under a key without blanks around it, or what is wrong with it."""
        if key not in self.data:
            return NotFound(f"Secret {self.name} has no key {key!r}", status=404)
        try:
            return base64.b64decode(self.data[key], validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            return Refused(f"Secret {self.name}, key {key!r}: is not text")
