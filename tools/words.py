"""Banned words: `python -m tools.words [PATH...]` lists each place in the tracked files below the paths (default: all).

The list is the table "Words that we do not use" of the glossary; nothing here repeats it. A Python file is read as what
it defines (names of modules, classes, functions, arguments, variables), its texts (docstrings and messages) and its
comments; any other file is read as text. An identifier counts as the words that it is made of: `deadLetter` and
`dead_letter` are "dead letter". Migrations that were released are never rewritten, so they are not read.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
HEADING: Final = "\n## Words that we do not use\n"
GLOSSARY: Final = "docs/reference/glossary.md"
_NOT_READ: Final = re.compile(
    r"uv\.lock|.*LICENSE(\.md)?|.*\.(svg|png|jpg|sum|mod)|.*/store/(schema/)?migrations/.*"
    r"|(.*/)?store-figures\.json|docs/(reference/)?schema\.sql|tests/unit/messages\.txt"
)
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IDENTIFIER: Final = re.compile(r"\b(?:\w*_\w*|\w*[a-z][A-Z]\w*|[A-Z]+[a-z]+\w*)\b")

_MARKS: Final = re.compile(r"[\s#\"']+")


class Ban(NamedTuple):
    """One row of the table: a pattern, what to say in its place, whether only names count, and what is allowed."""

    words: str
    instead: str
    names_only: bool
    pattern: re.Pattern[str]
    allowed: re.Pattern[str] | None


class Text(NamedTuple):
    """A piece of a file; `name` if it is an identifier."""

    line: int
    text: str
    name: bool = False


class Finding(NamedTuple):
    """A banned word in a file."""

    path: str
    line: int
    found: str
    instead: str


def listed() -> list[Ban]:
    """The rows of the glossary."""
    return bans((ROOT / GLOSSARY).read_text(encoding="utf-8"))


def bans(page: str) -> list[Ban]:
    """The rows of the table, from the text of the glossary: | do not say | say | where | allowed |."""
    table = page.split(HEADING, 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return [_ban(*(cell.strip() for cell in row)) for row in rows]


def _ban(words: str, instead: str, where: str, allowed: str) -> Ban:
    return Ban(
        words=words,
        instead=instead,
        names_only=where == "names",
        pattern=_pattern(words),
        allowed=_pattern(allowed) if allowed else None,
    )


def _pattern(cell: str) -> re.Pattern[str]:
    """Phrases separated by commas; `…` stands for at most two words, capitals count only where a phrase has them."""
    phrases = []
    for phrase in cell.replace("`", "").split(", "):
        text = r"\s+".join(map(re.escape, phrase.split()))
        text = text.replace(r"\s+…\s+", r"(?:\s+\S+){0,2}\s+")
        ends = r"\b" if phrase[-1].isalnum() else ""
        phrases.append(rf"\b{text}{ends}" if phrase != phrase.lower() else rf"(?i:\b{text}{ends})")
    return re.compile("|".join(phrases))


def findings(paths: Iterable[str], table: Sequence[Ban]) -> Iterator[Finding]:
    """What is found in files, given by their paths from the repository's root."""
    for path in paths:
        yield from check(path, (ROOT / path).read_text(encoding="utf-8"), table)


def check(path: str, text: str, table: Sequence[Ban]) -> Iterator[Finding]:
    """The banned words of one file."""
    if path == GLOSSARY:
        text = _without_banned(text)
    suspect = re.compile("|".join(ban.pattern.pattern.replace("(?i:", "(?:") for ban in table), re.IGNORECASE)
    pieces = [Text(0, " ".join(Path(path).parts), name=True)]
    if suspect.search(_with_identifiers(_MARKS.sub(" ", text))):  # most files have none, and parsing takes long
        pieces += _python(text) if path.endswith(".py") else [Text(1, text)]
    for piece in pieces:
        shown = _split(piece.text) if piece.name else _with_identifiers(piece.text)
        for ban in table if suspect.search(shown) else ():
            if ban.names_only and (not piece.name or piece.text.startswith("test_")):
                continue
            cleared = ban.allowed.sub(_blank, shown) if ban.allowed else shown
            for found in ban.pattern.finditer(cleared):
                line = piece.line + cleared.count("\n", 0, found.start())
                yield Finding(path, line, " ".join(found[0].split()), ban.instead)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _without_banned(page: str) -> str:
    """The glossary without its list, and without the last column of its words."""
    head, _, rest = page.partition(HEADING)
    table, separator, tail = rest.partition("\n## ")
    kept = [line.rstrip("| ").rpartition("|")[0] if line.startswith("|") else line for line in head.split("\n")]
    return "\n".join(kept) + "\n" * (table.count("\n") + 2) + separator + tail


def _split(name: str) -> str:
    return " ".join(_PARTS.findall(name))


def _with_identifiers(text: str) -> str:
    """The text with each identifier that has several words taken apart."""
    return _IDENTIFIER.sub(lambda found: _split(found[0]), text)


def _python(text: str) -> Iterator[Text]:
    tree = ast.parse(text)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield Text(node.lineno, joined(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield Text(node.lineno, node.value)
        else:
            yield from (Text(getattr(node, "lineno", 1), name, name=True) for name in _names(node))
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    block: list[tokenize.TokenInfo] = []  # comments on consecutive lines are one text
    for token in comments:
        if block and token.start[0] != block[-1].start[0] + 1:
            yield Text(block[0].start[0], "\n".join(one.string.lstrip("# ") for one in block))
            block = []
        block.append(token)
    if block:
        yield Text(block[0].start[0], "\n".join(one.string.lstrip("# ") for one in block))


def joined(node: ast.JoinedStr) -> str:
    """An f-string with `{}` where a value goes, or the value's name if that is a constant."""
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            value = part.value if isinstance(part, ast.FormattedValue) else part
            name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
            parts.append(f"{{{name}}}" if name.isupper() else "{}")
    return "".join(parts)


def _names(node: ast.AST) -> Iterator[str]:
    """What a node defines; a name that is only used is its owner's matter."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.alias) and node.asname:
        yield node.asname


def tracked(below: Sequence[str] = ()) -> list[str]:
    """Text files that git knows, below the paths."""
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z", "--", *below]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in listed if name and not _NOT_READ.fullmatch(name) and (ROOT / name).is_file()]


def main(arguments: list[str] | None = None) -> int:
    """List the banned words; the exit code is 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.words", description="Banned words, by file and line.")
    parser.add_argument("paths", nargs="*", help="files or folders; default: all that git tracks")
    parser.add_argument("--counts", action="store_true", help="one line a file, with the number of places")
    given = parser.parse_args(arguments)
    found = list(findings(tracked(given.paths), listed()))
    if given.counts:
        print(
            "".join(f"{count:4} {path}\n" for path, count in sorted(Counter(one.path for one in found).items())), end=""
        )
    else:
        for one in found:
            print(f"{one.path}:{one.line}: {one.found!r}: {one.instead}")
    print(f"words: {len(found)} left", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
