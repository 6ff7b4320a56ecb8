"""Where the shop's tasks write, and how: a file appears whole or not at all.

No task here: plain functions, easy to test. SHOP_OUTPUT is the folder, by default one of this user's own among the
temporary files.
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
    """The folder to write to cannot be trusted."""


def output_folder() -> Path:
    """The folder that results are written to; made if it is missing, for this user alone."""
    given = os.environ.get("SHOP_OUTPUT")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"shop-output-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not given and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise OutputFolderError(f"{folder} belongs to somebody else; set SHOP_OUTPUT")
    return folder


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file beside `target` that takes its place when the block ends well, and is removed when it does not.

    A task may run twice, even at the same time; so the names differ and the last one to end stays.
    """
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=target.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(part).replace(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
