"""The project's words: none that the glossary bans is in a name, a message, a docstring, a comment or a document."""

from __future__ import annotations

import pytest
from tools import words

TABLE = words.listed()


def found_in(path: str, text: str) -> list[str]:
    return [one.found for one in words.check(path, text, TABLE)]


def test_no_banned_word_is_left():
    """`python -m tools.words` lists them with what to say in their place."""
    found = words.findings(words.tracked(), TABLE)
    assert [f"{one.path}:{one.line}: {one.found!r}: {one.instead}" for one in found] == []


@pytest.mark.parametrize("ban", TABLE, ids=lambda ban: ban.words.split(",")[0])
def test_a_banned_word_is_found_in_code_and_in_a_document(ban):
    """In a name, an f-string, a docstring, a comment, SQL and prose; a row of names counts in names alone."""
    phrase = ban.words.split(", ")[0].replace("…", "it")
    name = "_".join(part for part in phrase.replace(":", "").replace("'", "").split())
    prose = 0 if ban.names_only else 1
    assert len(found_in("a.py", f'"""A {phrase} b."""')) == prose
    assert len(found_in("a.py", f"x = 1  # a {phrase} b")) == prose
    assert len(found_in("a.py", f'raise ValueError(f"a {{x}} {phrase} {{y}}")')) == prose
    assert len(found_in("a.md", f"a {phrase} b")) == len(found_in("a.sql", f"-- a {phrase} b")) == prose
    if ":" not in phrase and "'" not in phrase:
        assert len(found_in("a.py", f"def x_{name}_y(): pass")) == 1
        assert len(found_in("a.py", f"class A{name.title().replace('_', '')}B: pass")) == 1


def test_a_phrase_may_go_over_the_end_of_a_line():
    """As prose does; the finding has the line that it starts on."""
    text = "one\ntwo ha" + "nd the\njob back three"
    assert [(one.line, one.found) for one in words.check("a.md", text, TABLE)] == [(2, "ha" + "nd the job back")]
    comment = "x = 1\n# two ha" + "nd the\n# job back three\n"
    assert [(one.line, one.found) for one in words.check("a.py", comment, TABLE)] == [(2, "ha" + "nd the job back")]


def test_what_the_table_allows_is_allowed():
    """Phrases of SQL, of Python and of English in which the word is right."""
    for text in ("looks up a name", "a lookup", "BEGIN; COMMIT;", "async with engine.begin():", "a lock is held"):
        assert found_in("a.md", text) == []


def test_a_name_that_is_only_used_is_not_the_users():
    """A method of a file belongs to Python; what we define with it does not."""
    assert found_in("a.py", "x = file.te" + "ll()") == []


def test_the_path_of_a_file_counts():
    """A module is a name too."""
    assert len(found_in("worker/tel" + "ler.py", "")) == 1
