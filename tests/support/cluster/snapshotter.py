"""Which of containerd's snapshotters the node's folder can carry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def snapshotter(folder: Path) -> str:
    """Overlayfs where the folder can carry it; a folder on an overlay, as in a container, cannot."""
    probe = folder / "overlay-probe"
    for name in ("lower", "upper", "work", "merged"):
        (probe / name).mkdir(parents=True)
    options = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
    mount = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", f"{probe}/merged"]
    done = subprocess.run(mount, capture_output=True, check=False)
    shutil.rmtree(probe, ignore_errors=True)
    return "native" if done.returncode else "overlayfs"
