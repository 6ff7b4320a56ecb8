"""Workers as the operator and the local mode steer them. A worker's own registration is in another module."""

from __future__ import annotations

from collections.abc import Sequence

from .connections import Connections


class Workers:
    """Statements about workers.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def cordon(self, workers: Sequence[int], *, cordon: bool = True) -> list[int]:
        """Cordon workers, or uncordon them; returns the ids whose state changed."""
        return [row[0] for row in await self._connections.rows("cordon", list(workers), cordon)]
