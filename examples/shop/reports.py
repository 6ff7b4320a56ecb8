"""The report of a range of days, as a PDF. No task here: plain functions, easy to test.

The figures are computed from the date, so that the same range always gives the same report.
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import TYPE_CHECKING

from .files import output_folder, replacing

if TYPE_CHECKING:
    from pathlib import Path

    from reportlab.pdfgen.canvas import Canvas

MAX_DAYS = 366
_DAYS_A_PAGE = 31
_LEFT, _TOP, _LINE = 72, 770, 22
"""In points, from the lower left of the page."""


class DateRangeError(ValueError):
    """The days are in the wrong order, or too many."""


def orders_of(day: date) -> int:
    """How many orders the shop had on a day, 20 to 219."""
    return 20 + hashlib.sha256(day.isoformat().encode()).digest()[0] * 199 // 255


def reported(first: date, last: date) -> Path:
    """Write the report of the days `first` to `last`, both included, to SHOP_OUTPUT; gives the file.

    Raises:
        DateRangeError: the days are in the wrong order or more than `MAX_DAYS`.
    """
    days = (last - first).days + 1
    if not 1 <= days <= MAX_DAYS:
        raise DateRangeError(f"a report is of 1 to {MAX_DAYS} days, got {first} to {last}")
    # Half a second and 20 MB: only a worker that makes reports pays for it.
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415

    target = output_folder() / f"report-{first}-{last}.pdf"
    with replacing(target) as file:
        canvas = Canvas(file, pagesize=A4, invariant=True)
        for start in range(0, days, _DAYS_A_PAGE):
            _page(canvas, [first + timedelta(days=n) for n in range(start, min(start + _DAYS_A_PAGE, days))])
        canvas.save()
    return target


def _page(canvas: Canvas, days: list[date]) -> None:
    """A bar for each day."""
    counts = [orders_of(day) for day in days]
    canvas.setFont("Helvetica-Bold", 14)
    canvas.drawString(_LEFT, _TOP, f"Orders from {days[0]} to {days[-1]}: {sum(counts)}")
    canvas.setFont("Helvetica", 10)
    for line, (day, orders) in enumerate(zip(days, counts, strict=True), start=2):
        height = _TOP - line * _LINE
        canvas.drawString(_LEFT, height, f"{day:%a} {day}")
        canvas.rect(_LEFT + 100, height - 2, orders, 10, stroke=0, fill=1)
        canvas.drawString(_LEFT + 108 + orders, height, str(orders))
    canvas.showPage()
