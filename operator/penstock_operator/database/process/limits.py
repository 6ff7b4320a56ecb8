"""Resource limits of one database's process: memory, processor time, open files, and its OOM score.

Applied by the process itself before it connects to anything. A process that exceeds its limits ends, and its JobQueues
get a condition; the operator and the other databases do not notice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Final

MEMORY_MIB: Final = 96
"""Default bound on the private memory of a process; about 25 MiB of it are taken by a process at rest."""
CPU_BURST_SECONDS: Final = 5.0
CPU_SHARE: Final = 0.5
"""Processor time that a process may use: a burst, refilled at half a core. One request may not use more than that."""
NICE: Final = 10
"""A process that has used half of its burst yields to the operator and the other databases from then on."""
FILES: Final = 64
STACK_BYTES: Final = 2**20
EXIT_MEMORY: Final = 71
"""Exit code of a process that ran into its bound on memory."""
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


def confine(memory_mib: int) -> None:
    """Limit this process for good.

    Args:
        memory_mib: private writable memory in MiB.
    """
    threading.stack_size(STACK_BYTES)
    with contextlib.suppress(OSError):  # the kernel ends this process before the operator
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # RLIMIT_DATA rather than RLIMIT_AS: what is only reserved or only read does not count.
    for limit, bound in (
        (resource.RLIMIT_DATA, memory_mib * 2**20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, 2**20),
    ):
        _, hard = resource.getrlimit(limit)
        wanted = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(limit, (wanted, wanted))


def peak_mib() -> int:
    """The most memory that this process ever had at once, in MiB, shared pages of libraries included."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:", 1)[1].split(None, 1)[0]) // 1024


class CpuBudget:
    """A token bucket of processor time, enforced by the kernel: an empty one ends the process with SIGXCPU.

    Args:
        burst: seconds in a full bucket.
        share: seconds that come in per second.
    """

    def __init__(self, *, burst: float = CPU_BURST_SECONDS, share: float = CPU_SHARE) -> None:
        self._burst, self._share, self._left = burst, share, burst
        self._wall, self._used = _wall(), _used()
        self._bound, self._nice = 0, False

    def refill(self) -> None:
        """Add what time has brought, take what was used; called at the start of a request, and while one runs."""
        wall, used = _wall(), _used()
        left = self._left + self._share * (wall - self._wall) - (used - self._used)
        self._left, self._wall, self._used = min(self._burst, max(0.0, left)), wall, used
        if self._left < self._burst / 2 and not self._nice:
            self._nice = True
            os.nice(NICE)
        bound = int(used + self._left) + 1  # the kernel counts whole seconds
        if bound != self._bound:
            self._bound = bound
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))


def _wall() -> float:
    return os.times().elapsed


def _used() -> float:
    spent = os.times()
    return spent.user + spent.system
