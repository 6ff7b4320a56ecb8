"""Where the shop's tasks write files, and how: a file appears complete or not at all.

Plain functions without tasks, which are easy to test. SHOP_OUTPUT is the folder; the default is a private one in the
temporary directory.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class OutputFolderError(ValueError):
    """The output folder belongs to another user."""


def output_folder() -> Path:
    """The folder for results; created if missing, readable by this user only."""
    given = os.environ.get("SHOP_OUTPUT")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"shop-output-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not given and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise OutputFolderError(f"{folder} belongs to another user; set SHOP_OUTPUT")
    return folder


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces `target` when the block succeeds, and is removed when it fails.

    A job may run twice at the same time; the temporary names differ, and the last one to finish wins.
    """
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=target.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(part).replace(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
