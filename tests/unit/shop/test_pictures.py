"""The pictures that are shipped are those that the script paints."""

from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from shop import make_images, pictures

SHIPPED = Path(make_images.__file__).parent / "images"


def test_every_painted_picture_is_shipped_and_no_other():
    """A hundred kilobytes in all."""
    assert sorted(make_images.PAINTERS) == pictures.pictures(SHIPPED)
    assert sum((SHIPPED / name).stat().st_size for name in make_images.PAINTERS) < 150_000


@pytest.mark.parametrize("name", sorted(make_images.PAINTERS))
def test_a_shipped_picture_is_what_its_painter_paints(name: str):
    """Up to what JPEG leaves out: compared at a quarter of the size."""
    painted = make_images.paint(make_images.PAINTERS[name])
    with Image.open(SHIPPED / name) as shipped:
        small = (painted.width // 4, painted.height // 4)
        difference = ImageChops.difference(shipped.convert("RGB").resize(small), painted.resize(small))
    assert max(ImageStat.Stat(difference).mean) < 6
