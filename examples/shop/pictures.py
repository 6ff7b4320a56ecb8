"""Resizes pictures. Plain functions without tasks, which are easy to test.

SHOP_IMAGES is the folder to read from; the default is the pictures of the shop. A path that leads out of it is
rejected. SHOP_OUTPUT is the folder to write to.
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from .files import output_folder, replacing

MAX_PIXELS = 50_000_000
"""A larger picture is not decoded, because a few kilobytes can decompress to gigabytes."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


class ImagePathError(ValueError):
    """The path leads out of the folder, or is not a picture."""


def source_folder() -> Path:
    """The folder to read pictures from."""
    return Path(os.environ.get("SHOP_IMAGES") or Path(__file__).parent / "images").resolve()


def pictures(folder: Path | None = None) -> list[str]:
    """The names of the pictures in a folder, sorted; default SHOP_IMAGES."""
    return sorted(path.name for path in (folder or source_folder()).iterdir() if path.suffix.lower() in SUFFIXES)


def resized(name: str, width: int, height: int) -> Path:
    """Write the picture `name` of SHOP_IMAGES to SHOP_OUTPUT in this size, replacing an earlier file.

    Raises:
        ImagePathError: the path leads out of SHOP_IMAGES, or the picture is too large.
        FileNotFoundError, PIL.UnidentifiedImageError: there is no such file, or it is not a picture.
    """
    folder = source_folder()
    source = (folder / name).resolve()
    if not source.is_relative_to(folder) or source.suffix.lower() not in SUFFIXES:
        raise ImagePathError(f"{name!r} is not a picture in the folder SHOP_IMAGES")
    target = output_folder() / f"{source.stem}-{width}x{height}{source.suffix.lower()}"
    with Image.open(source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ImagePathError(f"{name!r} has {image.width} x {image.height} pixels, the limit is {MAX_PIXELS}")
        image.draft(None, (width, height))  # decode a JPEG at the smallest sufficient size
        small = image.resize((width, height), Image.Resampling.LANCZOS)
    with replacing(target) as file:
        small.save(file, format=Image.registered_extensions()[target.suffix])
    return target
