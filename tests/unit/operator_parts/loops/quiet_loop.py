"""A loop over a database that is never reached, for tests of when it wakes."""

from __future__ import annotations

from typing import Any, cast

from penstock_operator.loops.database_loop import DatabaseLoop
from penstock_operator.metrics import OperatorMetrics


class Quiet:
    """A database from which no wake-up comes."""

    def rest(self, _: Any) -> None:
        """Nothing to quieten."""

    async def pause(self, max_seconds: float) -> float:
        return max_seconds


def loop_of(reconciler: type) -> DatabaseLoop:
    """A loop without queues that would make such reconcilers."""
    return DatabaseLoop(
        address=None,
        holder="a",
        members=list,
        make=cast("Any", reconciler),
        metrics=OperatorMetrics(leading=lambda: True),
        may_act=lambda: True,
        opened=lambda _: None,
    )
