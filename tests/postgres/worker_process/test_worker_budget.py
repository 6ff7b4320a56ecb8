"""What an idle worker costs the pod that it runs in. The budget is raised here on purpose or not at all."""

from __future__ import annotations

from pathlib import Path

from tests.postgres import desk

MAX_MEBIBYTES = 80


def test_an_idle_worker_fits_its_memory_budget(start, newest):
    """Resident memory after the first claim from an empty queue, as the kernel counts it."""
    worker = start()
    desk.until(lambda: worker.get(newest, "/readyz")[0] == 200)
    status = Path(f"/proc/{worker.pid}/status").read_text()
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    assert resident / 1024 <= MAX_MEBIBYTES
