"""The snapshot of messages: what it collects, and what holds for every message in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import messages, words

SNAPSHOT = Path(__file__).with_name("messages.txt")
NOUNS = (
    "attempts|children|claims|connections|databases|deployments|errors|events|hosts|jobs|letters|namespaces|objects|"
    "outcomes|pods|processes|queues|replicas|restarts|rows|seconds|slots|tasks|times|tokens|workers"
)
DISAGREES = re.compile(rf"(?:\{{\}}|%d|%s|%\(\w+\)[ds]|\b1) (?:dead )?(?:{NOUNS})\b(?!/)")


def collected(source: str) -> list[str]:
    return [*messages.of_module(source)]


def test_the_snapshot_is_what_the_source_says():
    """`make generate` renews it, so a changed message is part of the diff."""
    assert SNAPSHOT.read_text(encoding="utf-8") == messages.text()


def test_no_message_has_a_banned_word():
    """The same list as for names and documents."""
    table = words.listed()
    text = SNAPSHOT.read_text(encoding="utf-8")
    found = [f"{one.line}: {one.found!r}: {one.instead}" for one in words.check("messages", text, table)]
    assert found == []


def test_numbers_agree_with_their_nouns():
    """No message can say `1 jobs`: a number that varies goes through `penstock.plural`, or stands after its name."""
    lines = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if DISAGREES.search(line)]
    assert found == []


@pytest.mark.parametrize(
    "text", ["text: {} jobs", "log info: %d dead letters", "text: has 1 workers", "log x: %(n)d rows"]
)
def test_a_disagreement_is_found(text):
    """In an f-string, in a log line, with any noun of the product."""
    assert DISAGREES.search(text)


@pytest.mark.parametrize(
    "text", ["text: {}, each {} s", "text: at most {MAX_HOSTS} hosts", "text: 3 of 3 jobs", "log x: jobs=%d"]
)
def test_what_agrees_is_not_a_disagreement(text):
    """A constant is above one; a unit has no plural; a field stands after its name."""
    assert not DISAGREES.search(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('raise ConfigurationError(f"queue {name}: not declared")', "error ConfigurationError: queue {}: not declared"),
        ('raise BadOption.of(self, "max_demand", "at least 1", x)', "error BadOption: at least 1"),
        ('raise _refused("sslmode", "is not allowed; remove it")', "error _refused: is not allowed; remove it"),
        ('logger.warning("cannot claim", extra={"queue": q, "error": e})', "log warning: cannot claim [error, queue]"),
        ('self._logger.log(level, "cannot claim")', "log log: cannot claim"),
        ('x: int = Option(help="How many jobs.")', "help: How many jobs."),
        ('typer.echo(f"{n} done")', "echo: {} done"),
        ('return f"at most {MAX_HOSTS} hosts"', "text: at most {MAX_HOSTS} hosts"),
        ('reasons = {"a": "No such Secret."}', "text: No such Secret."),
        ('"""A docstring of a module."""', None),
        ('x = "SELECT 1 FROM penstock.job"', None),
        ('x = re.compile("some pattern here")', None),
        ('x = "word"', None),
    ],
)
def test_what_is_collected_from_python(source, expected):
    """Errors, log lines with their fields, help, output, other texts of two words; no docstring, SQL or pattern."""
    found = collected(source)
    assert found == ([expected] if expected else [])


def test_the_docstring_of_a_command_is_a_message():
    """Typer prints it."""
    source = '@cli.command("top")\ndef top() -> None:\n    """Show the queues.\n\n    Live.\n    """\n'
    assert collected(source) == ["help top: Show the queues. Live."]


def test_what_a_function_of_the_database_raises_is_a_message():
    """And the message of an error that it stores."""
    source = "SELECT 'not this';\nRAISE EXCEPTION 'claim: worker''s lease is over' USING ERRCODE = 'PN001';\n"
    source += "jsonb_build_object('message', format('took %s s', 1))"
    assert [*messages.of_sql(source)] == ["sql: claim: worker's lease is over", "sql: took %s s"]


def test_descriptions_and_rules_of_a_definition_are_messages():
    """With the path of their field."""
    schema = {"properties": {"spec": {"description": "Wanted.", "properties": {"app": {"description": "Its App."}}}}}
    assert [*messages.of_yaml(schema)] == ["resource description: Wanted.", "app description: Its App."]
