"""The documents as data: pages, blocks, spans of code, links. Reads files, judges nothing.

A comment before a block says what it is: `<!-- file: mailer/jobs.py -->` is written to that path for the blocks that
follow on its page, `<!-- needs: postgres -->` and `<!-- needs: penstock dev -->` say what must be running, and
`<!-- file: order.py; needs: penstock dev -->` says both. A block of Python without a mark is run as it stands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
OTHERS = {"docs/reference/stages.md"}
"""Pages whose code is tested with what it is about: tests/unit/stages."""
_FENCE = re.compile(r"^```(\w*)\s*$")
_MARK = re.compile(r"^<!-- (.+?) -->$")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is where its text starts, from 1."""

    line: int
    language: str
    text: str
    file: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file, by its path from the repository's root."""

    name: str
    blocks: Sequence[Block]
    prose: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    def files(self) -> dict[str, str]:
        """What its blocks write, by path."""
        return {block.file: block.text for block in self.blocks if block.file}

    def spans(self) -> list[str]:
        """Code in running text."""
        return _SPAN.findall(self.prose)

    def links(self) -> list[str]:
        """Targets of links that lead to files."""
        return [target for target in _LINK.findall(self.prose) if "://" not in target]

    def anchors(self) -> set[str]:
        """What a link may name after `#`, as code forges make it from the headings."""
        titles = [found[1] for line in self.prose.splitlines() if (found := _HEADING.match(line))]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def commands(self) -> list[str]:
        """Lines that a reader types, without the prompt and what follows a comment sign."""
        lines = [line for block in self.blocks if block.language == "console" for line in block.text.splitlines()]
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [re.sub(r"(^|\s)#\s.*", "", line).strip() for line in typed]


@functools.cache
def page(name: str) -> Page:
    """One page."""
    blocks: list[Block] = []
    prose: list[str] = []
    mark: dict[str, str] = {}
    inside: list[str] | None = None
    language, first_line = "", 0
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if inside is not None and line == "```":
            blocks.append(
                Block(first_line, language, "\n".join(inside) + "\n", mark.get("file", ""), mark.get("needs", ""))
            )
            inside, mark = None, {}
        elif inside is not None:
            inside.append(line)
        elif fence:
            inside, language, first_line = [], fence[1], number + 1
        else:
            found = _MARK.match(line)
            mark = dict(part.split(": ", 1) for part in found[1].split("; ") if ": " in part) if found else mark
            prose.append(line)
    assert inside is None, f"{name}: a block is not closed"
    return Page(name, tuple(blocks), "\n".join(prose))


def pages() -> Iterator[Page]:
    """Every page for people."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found += [ROOT / "examples" / "shop" / "README.md", ROOT / "charts" / "penstock" / "README.md"]
    for path in found:
        name = path.relative_to(ROOT).as_posix()
        if name not in OTHERS:
            yield page(name)
