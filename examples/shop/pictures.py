"""Pictures of one folder, written in other sizes to another. No task here: plain functions, easy to test.

SHOP_IMAGES is the folder to read from, by default the pictures that come with the shop. SHOP_OUTPUT is the folder to
write to, by default one of this user's own among the temporary files. A path that leads out of SHOP_IMAGES is refused,
wherever it came from.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

MOST_PIXELS = 50_000_000
"""A picture that claims to be larger is not opened: a few kilobytes can unfold to gigabytes."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


class ImagePathError(ValueError):
    """The path leads out of the folder of pictures, or to something that is none."""


def source_folder() -> Path:
    """The folder that pictures are read from."""
    return Path(os.environ.get("SHOP_IMAGES") or Path(__file__).parent / "images").resolve()


def output_folder() -> Path:
    """The folder that pictures are written to; made if it is missing, for this user alone."""
    given = os.environ.get("SHOP_OUTPUT")
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"shop-resized-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not given and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise ImagePathError(f"{folder} belongs to somebody else; set SHOP_OUTPUT")
    return folder


def pictures(folder: Path | None = None) -> list[str]:
    """Names of the pictures in a folder (default SHOP_IMAGES), sorted."""
    return sorted(path.name for path in (folder or source_folder()).iterdir() if path.suffix.lower() in SUFFIXES)


def resized(name: str, width: int, height: int) -> Path:
    """Write the picture `name` of SHOP_IMAGES in this size to SHOP_OUTPUT, replacing an older one.

    Raises:
        ImagePathError: the path leads out of SHOP_IMAGES, or the picture is too large.
        FileNotFoundError, PIL.UnidentifiedImageError: there is no such file, or it is no picture.
    """
    folder = source_folder()
    source = (folder / name).resolve()
    if not source.is_relative_to(folder) or source.suffix.lower() not in SUFFIXES:
        raise ImagePathError(f"{name!r} is not a picture of the folder SHOP_IMAGES")
    target = output_folder() / f"{source.stem}-{width}x{height}{source.suffix.lower()}"
    with Image.open(source) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ImagePathError(f"{name!r} has {image.width} x {image.height} pixels, the limit is {MOST_PIXELS}")
        image.draft(None, (width, height))  # a JPEG is decoded no larger than needed
        small = image.resize((width, height), Image.Resampling.LANCZOS)
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=target.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            small.save(file, format=Image.registered_extensions()[target.suffix])
        Path(part).replace(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return target
