"""Commands run in the process of a test, and a scene for them: jobs in every state, with a secret in their contents."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from penstock.cli import main
from tests.postgres import desk

SECRET = "4929-1234"
EVIL = "work\x1b[2J"
ERROR = json.dumps({"type": "builtins.ValueError", "message": f"no {SECRET}", "traceback": f"at {SECRET}\x1b[2J"})
ACK = "SELECT * FROM penstock.ack(%s, %s, %s, %s, p_delays => %s, p_reasons => %s, p_errors => %s::jsonb[])"


class Shell:
    """Runs commands in this process, as the login of `url`."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self._capsys, self._monkeypatch = url, capsys, monkeypatch
        monkeypatch.delenv("PENSTOCK_DIRECT_URL", raising=False)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._monkeypatch.setenv("PENSTOCK_DATABASE_URL", self.url)
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        said = self._capsys.readouterr()
        return int(exit_.value.code or 0), said.out, said.err

    def value(self, *arguments: str) -> Any:
        """What a command that succeeds gives as JSON, and the same as YAML."""
        code, out, err = self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


def put(db: psycopg.Connection[Any], queue: str = "q", task: str = "work", count: int = 1, **columns: Any) -> list[int]:
    """Jobs with a secret in their arguments."""
    names = "".join(f", {name} => %s" for name in columns)
    args = [json.dumps({"card": SECRET})] * count
    query = f"SELECT penstock.enqueue_many(%s, %s, %s::jsonb[]{names})"
    row = db.execute(query.encode(), [[queue] * count, [task] * count, args, *columns.values()]).fetchone()
    assert row is not None
    return list(row[0])


def end(db: psycopg.Connection[Any], worker: desk.Worker, state: str, reason: str, *, count: int = 1) -> list[int]:
    """Claim and acknowledge; the ids."""
    token = desk.token()
    ids = [row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, count, token])]
    many = [[token] * len(ids), [state] * len(ids), [60.0] * len(ids), [reason] * len(ids), [ERROR] * len(ids)]
    assert db.execute(ACK, [worker.id, ids, *many]).fetchall() == []
    return ids


def a_scene(db: psycopg.Connection[Any]) -> desk.Worker:
    """Jobs 1 (deferred by an error), 2 (dead), 3 (completed), 4 (queued), 5 (of another queue)."""
    worker = desk.register(db)
    for state, reason in (("retry", "error"), ("failed", "exhausted"), ("completed", None)):
        put(db, task=EVIL)
        end(db, worker, state, reason)  # type: ignore[arg-type]
    put(db)
    put(db, queue="other", task="clean")
    return worker
