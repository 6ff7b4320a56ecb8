"""`docs/images/demo.svg`: a terminal while `make demo` runs, and the summary at its end, from a run made for it.

Owns the choice of the moment (most workers at once, then most jobs in flight) and the frame around it. Nothing in the
picture is typed by hand, and it loads no font from elsewhere.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.terminal_theme import MONOKAI

from penstock.dev.view import render
from shop.demo import demo

if TYPE_CHECKING:
    from penstock.dev.view import Status

TARGET: Final = Path(__file__).parents[1] / "docs" / "images" / "demo.svg"
WIDTH: Final = 124
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def busyness(picture: Status) -> tuple[int, int]:
    """How much there is to see: workers that serve, then jobs in flight."""
    seen = [queue.snapshot for queue in picture.queues]
    return sum(queue.serving for queue in picture.queues), sum(one.in_flight for one in seen if one is not None)


def drawn(moment: Status, account: str) -> str:
    """The moment above the account, as SVG text."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(moment))
    console.print(account, markup=False, highlight=False, soft_wrap=False)
    text = console.export_svg(title="make demo", theme=MONOKAI, code_format=FORMAT, unique_id="demo")
    return re.sub(r"[ \t]+\n", "\n", text)


async def run() -> int:
    """Run the demonstration and write its picture; the demonstration's exit code."""
    best: list[Status] = []

    def watch(picture: Status) -> None:
        if not best or busyness(picture) > busyness(best[0]):
            best[:] = [picture]

    said = io.StringIO()
    code = await demo(keep=False, console=Console(file=said, width=WIDTH), watch=watch)
    sys.stdout.write(said.getvalue())
    if code == 0:
        account = said.getvalue().partition("What became of the jobs")[2].partition("Scale decisions")
        last_lines = said.getvalue().strip().splitlines()[-2:]
        TARGET.write_text(drawn(best[0], "\n".join([account[0].strip(), "", *last_lines])) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
