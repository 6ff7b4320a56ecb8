"""From a JobQueue's manifest and a look at its queue to a replica count with its reason.

Pure: no clock, no chance, no I/O. Time comes in as an argument, memory as a frozen history. The operator, the local
mode and the simulator run this very code, so that what is tried on a laptop holds on a cluster.
"""

from .decide import decide
from .types import Bound, Decision, History, QueueSnapshot

__all__ = [
    "Bound",
    "Decision",
    "History",
    "QueueSnapshot",
    "decide",
]
