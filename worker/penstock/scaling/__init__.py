"""Computes a replica count with its reason, from a JobQueue's spec and samples of its queue.

Pure: no clock, no random numbers, no I/O. Time is an argument, memory a frozen history. The operator, local mode and
the simulator run this same code: a policy that works on a laptop works on a cluster.
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
