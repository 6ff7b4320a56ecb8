"""Every pair of statements about schedules, the first in an open transaction when the second starts.

In the end each schedule is as if one statement had come after the other. What steps over locked rows (a firing, a
settlement, the pruning) may leave a schedule for its next call, which must then bring the same.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.postgres import desk
from tests.postgres.interleave import Connection, Interleaving
from tests.postgres.interleavings.test_pair_interleavings import run
from tests.postgres.schedules.schedule_calls import DECLARATION

FIRST, DUE, NEXT = "2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z", "2025-01-01T02:00:00Z"
CODE = [DECLARATION | {"name": name, "overlap": "Queue", "next_at": NEXT} for name in ("dead", "paused", "queue")]


def declare(source: str, *changed: dict[str, Any]) -> str:
    """With the declarations of `CODE`, changed from the last one back."""
    made = [one | change for one, change in zip(CODE, [{}] * (3 - len(changed)) + list(changed), strict=True)]
    return f"SELECT penstock.declare_schedules('q', '{source}', '{json.dumps(made)}')"


STATEMENTS = {
    "due": "SELECT penstock.schedule_due(10)",
    "fire": (
        f"SELECT penstock.schedule_fire('{{1,2,3,4}}', '{{1,1,1,1}}', array_fill('{DUE}'::timestamptz, '{{4}}'),"
        f" array_fill('{NEXT}'::timestamptz, '{{4}}'), '{{1,2,3,4}}', array_fill('{DUE}'::timestamptz, '{{4}}'))"
    ),
    "fire one": (
        f"SELECT penstock.schedule_fire('{{1}}', '{{1}}', '{{\"{DUE}\"}}', '{{\"{NEXT}\"}}', '{{1}}', '{{\"{DUE}\"}}')"
    ),
    "failed": "SELECT penstock.schedule_failed(1, 1, 'no such zone')",
    "settle": "SELECT penstock.settle_schedules(100)",
    "prune": "SELECT penstock.prune_ticks(100)",
    "list": "SELECT penstock.list_schedules(NULL)",
    "run": "SELECT penstock.run_schedule('q', 'queue')",
    "pause": f"SELECT penstock.pause_schedule('q', 'queue', true, 1, '{NEXT}')",
    "resume": f"SELECT penstock.pause_schedule('q', 'paused', false, 1, '{NEXT}')",
    "redeploy": declare("code", {"task": "other"}, {"spec": "0 9 * * *"}),
    "removal": "SELECT penstock.declare_schedules('q', 'code', '[]')",
    "JobQueue": declare("jobqueue", {"spec": "0 8 * * *"}),
    "JobQueue without any": "SELECT penstock.declare_schedules('q', 'jobqueue', '[]')",
    "ack": "SELECT penstock.ack(%(worker)s, '{%(run)s}', '{7001}')",
    "redrive": "SELECT penstock.redrive('{%(dead)s}')",
}
EMPTY = """DO $$ BEGIN
  DELETE FROM penstock.job; DELETE FROM penstock.outcome; DELETE FROM penstock.dead;
  DELETE FROM penstock.schedule_tick; DELETE FROM penstock.schedule;
END $$"""
SCHEDULES = """INSERT INTO penstock.schedule (id, queue, name, source, spec, zone, jitter, lead, task, args, missed,
    missed_limit, overlap, next_at, last_tick, fired, paused_at, unsuccessful_since, expected_by)
    OVERRIDING SYSTEM VALUE
  SELECT n, 'q', name, source, '@every 3600', 'UTC', 0, 0, 'work', '{}', 'Once', 100, overlap, %(due)s, %(first)s, 1,
         CASE name WHEN 'paused' THEN %(due)s::timestamptz END, %(first)s, %(due)s
  FROM (VALUES (1, 'queue', 'code', 'Queue'), (2, 'skip', 'jobqueue', 'Skip'), (3, 'dead', 'code', 'Queue'),
               (4, 'paused', 'code', 'Queue')) AS v (n, name, source, overlap)"""
TICKS = """INSERT INTO penstock.schedule_tick (schedule, tick, state, job, decided_at) VALUES
  (1, %(first)s::timestamptz - interval '1 h', 'enqueued', %(run)s, now()), (1, %(first)s, 'waiting', NULL, now()),
  (2, '2024-01-01', 'completed', NULL, now() - interval '2 days'), (2, %(first)s, 'enqueued', %(gone)s, now()),
  (3, %(first)s, 'enqueued', %(dead)s, now())"""
STATE = """SELECT ROW(s.source, s.generation, s.spec, s.task, s.paused_at IS NULL, s.removed_at IS NULL, s.next_at,
    s.last_tick, s.fired, s.last_success_at IS NULL, s.unsuccessful_since, s.expected_by, s.last_error,
    s.retry_at IS NULL)::text, ARRAY(SELECT ROW(t.manual, CASE WHEN NOT t.manual THEN t.tick END, t.state, j.task)::text
      FROM penstock.schedule_tick AS t LEFT JOIN penstock.job AS j ON j.id = t.job WHERE t.schedule = s.id ORDER BY 1)
  FROM penstock.schedule AS s ORDER BY s.id"""


class Scene:
    """Schedule `queue` has a running job and a waiting tick, `skip` a job that is gone, `dead` one that is a dead
    letter, `paused` none; each has a tick that is due. An old tick of `skip` may be pruned.
    """

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        self.worker = desk.register(db)

    def set(self) -> dict[str, int]:
        self.db.execute(EMPTY)
        run, gone, dead = desk.enqueue(self.db, 3)
        self.db.execute(desk.CLAIM, [self.worker.id, self.worker.queue, 3, 7001])
        self.db.execute(desk.ACK, [self.worker.id, [dead], [7001], ["failed"]])
        self.db.execute("DELETE FROM penstock.job WHERE id = %s", [gone])
        values = {"run": run, "gone": gone, "dead": dead}
        self.db.execute(SCHEDULES, {"first": FIRST, "due": DUE})
        self.db.execute(TICKS, values | {"first": FIRST})
        return values | {"worker": self.worker.id}

    def state(self) -> list[Any]:
        """Of each schedule its row and its ticks, without the numbers of their jobs."""
        return self.db.execute(STATE).fetchall()

    def jobs(self) -> int:
        """The number of live jobs."""
        (count,) = self.db.execute("SELECT count(*) FROM penstock.job").fetchone() or (0,)
        return int(count)


def test_any_two_statements_about_schedules_leave_each_as_if_in_order(pg_newest):
    """Two hundred and fifty pairs, each with a commit and with a rollback of the first."""
    with pg_newest.connect() as db, Interleaving(pg_newest.url) as play:
        scene, a, b = Scene(db), play.connection("a"), play.connection("b")
        after: dict[tuple[str, ...], list[Any]] = {}
        for first in STATEMENTS:
            for order in ((first,), *((first, second) for second in STATEMENTS)):
                values = scene.set()
                assert [run(a, STATEMENTS[name], values) for name in order] == [None] * len(order), order
                after[order] = scene.state()
        wrong = [
            f"{first} {'committed' if commits else 'rolled back'}, {second}"
            for first in STATEMENTS
            for second in STATEMENTS
            for commits in (True, False)
            if not as_if_in_order(scene, a, b, (first, second), commits, after)
        ]
    assert wrong == []


def as_if_in_order(
    scene: Scene, a: Connection, b: Connection, names: tuple[str, str], commits: bool, after: dict[Any, Any]
) -> bool:
    """Run the second while the first is open; whether each schedule is then as an order leaves it."""
    values = scene.set()
    a.start_transaction()
    assert run(a, STATEMENTS[names[0]], values) is None
    step = b.start(STATEMENTS[names[1]] % values)
    desk.until(lambda: step.ended or b.play.blockers(b))
    if commits:
        a.commit()
    else:
        a.rollback()
    allowed = [after[names], after[names[::-1]]] if commits else [after[names[1:]]]
    step.finish()
    seen = scene.state()
    if is_one_of(seen, allowed):
        return True
    run(b, STATEMENTS[names[1]], values)
    return is_one_of(scene.state(), allowed) and scene.state() != seen


def is_one_of(seen: list[Any], allowed: list[list[Any]]) -> bool:
    """Whether each schedule's state is that of an allowed end: a call may step over one schedule and not another."""
    return all(row in rows for row, *rows in zip(seen, *allowed, strict=True))
