"""Names of stages: a registry that a stage enters when it starts and leaves when it ends.

It owns which stage has which name, within one registry object; there is no global one. Subscribing to a name instead
of an object lets a consumer find the producer that a supervisor started in place of the old one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .errors import AlreadyStarted


class Names:
    """Name -> living stage. Names are any hashable values; a tuple makes a namespace."""

    def __init__(self) -> None:
        self._stages: dict[Hashable, Any] = {}

    def register(self, name: Hashable, stage: Any) -> None:
        """Enter a stage. Raises AlreadyStarted when a living stage has the name."""
        other = self._stages.setdefault(name, stage)
        if other is not stage:
            raise AlreadyStarted(f"name {name!r} is taken by {other!r}")

    def unregister(self, name: Hashable, stage: Any) -> None:
        """Remove a stage, if the name is still its own."""
        if self._stages.get(name) is stage:
            del self._stages[name]

    def find(self, name: Hashable) -> Any | None:
        """The living stage of that name, or None."""
        return self._stages.get(name)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._stages
