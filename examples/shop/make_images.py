"""Paints the pictures that come with the shop, by arithmetic alone: `python -m shop.make_images`.

They are generated, not taken from anywhere, and given to the public domain (CC0 1.0).
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 240, 180
Pixel = tuple[int, int, int]
Painter = Callable[[float, float], Pixel]


def _shade(value: float, phase: float) -> Pixel:
    """A colour of a smooth wheel, for a value from 0 to 1."""
    red, green, blue = (int(127.5 * (1 + math.cos(2 * math.pi * (value + phase + third / 3)))) for third in range(3))
    return red, green, blue


def dunes(x: float, y: float) -> Pixel:
    """Three sine waves over one another."""
    height = y + 0.08 * math.sin(9 * x) + 0.05 * math.sin(23 * x + 4 * y)
    return _shade(0.15 * math.floor(height * 8) / 8 + 0.6 * y, 0.55)


def rings(x: float, y: float) -> Pixel:
    """Two wells whose waves meet."""
    first, second = math.hypot(x - 0.3, y - 0.4), math.hypot(x - 0.8, y - 0.6)
    return _shade((math.sin(40 * first) + math.sin(34 * second)) / 6 + 0.5, 0.1)


def mandelbrot(x: float, y: float) -> Pixel:
    """The set and its surroundings."""
    c, z = complex(3 * x - 2.2, 2.4 * y - 1.2), 0j
    for step in range(48):
        z = z * z + c
        if abs(z) > 2:
            return _shade(step / 48, 0.35)
    return 12, 12, 24


def cells(x: float, y: float) -> Pixel:
    """Each point in the colour of the nearest of twenty-four seeds."""
    source = random.Random(7)  # noqa: S311 - a pattern, not a secret
    seeds = [(source.random() * 4 / 3, source.random()) for _ in range(24)]
    distance, nearest = min((math.hypot(x * 4 / 3 - sx, y - sy), n) for n, (sx, sy) in enumerate(seeds))
    red, green, blue = _shade(nearest / 24, 0)
    fade = max(0.25, 1 - 3 * distance)
    return int(red * fade), int(green * fade), int(blue * fade)


def weave(x: float, y: float) -> Pixel:
    """Threads over and under."""
    over = math.sin(60 * x) > math.sin(60 * y)
    return _shade(x if over else y, 0.2 if over else 0.7)


def sunset(x: float, y: float) -> Pixel:
    """A disc over water."""
    sun = math.hypot(x * 4 / 3 - 0.66, y - 0.55) < 0.2 and y < 0.62
    if sun:
        return 255, 214, 120
    if y > 0.62:
        glint = abs(x - 0.5) < 0.12 * (1.2 - y) + 0.05 * math.sin(80 * y)
        return (230, 150, 90) if glint else (30, 40, 80)
    return int(250 - 120 * y), int(90 + 110 * y), int(120 - 20 * y)


PAINTERS: dict[str, Painter] = {
    "dunes.jpg": dunes,
    "rings.jpg": rings,
    "mandelbrot.png": mandelbrot,
    "cells.png": cells,
    "weave.jpg": weave,
    "sunset.jpg": sunset,
}


def paint(painter: Painter, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """One picture; the painter sees both sides from 0 to 1."""
    image = Image.new("RGB", (width, height))
    image.putdata([painter(x / width, y / height) for y in range(height) for x in range(width)])
    return image


def main(folder: Path) -> None:
    """Paint all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, painter in PAINTERS.items():
        options = {"quality": 80} if name.endswith(".jpg") else {"optimize": True}
        paint(painter).save(folder / name, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
