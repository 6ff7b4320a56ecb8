"""Pictures of one folder, written in other sizes to another. No task here: plain functions, easy to test.

SHOP_IMAGES is the folder to read from, by default the pictures that come with the shop. A path that leads out of it is
refused, wherever it came from. SHOP_OUTPUT is the folder to write to.
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from .files import output_folder, replacing

MOST_PIXELS = 50_000_000
"""A picture that claims to be larger is not opened: a few kilobytes can unfold to gigabytes."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


class ImagePathError(ValueError):
    """The path leads out of the folder of pictures, or to something that is none."""


def source_folder() -> Path:
    """The folder that pictures are read from."""
    return Path(os.environ.get("SHOP_IMAGES") or Path(__file__).parent / "images").resolve()


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
    with replacing(target) as file:
        small.save(file, format=Image.registered_extensions()[target.suffix])
    return target
