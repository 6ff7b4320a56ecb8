"""A pause, who made it, and who may end it."""

from __future__ import annotations

from penstock.jobqueue.declaration import QueueDeclaration

QUERY = "SELECT paused_at IS NOT NULL, paused_by FROM penstock.queue WHERE name = 'q'"


async def test_a_pause_by_a_login_outlives_a_declaration(store, db):
    """A restart of the operator must not resume what somebody stopped in an incident; they resume it themselves."""
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=1))
    (login,) = db.execute("SELECT session_user").fetchone()
    assert await store.queues.pause("q")
    for generation, paused in ((1, False), (2, True), (3, False)):
        await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=generation, paused=paused))
        assert db.execute(QUERY).fetchone() == (True, login)
    assert await store.queues.pause("q", paused=False)
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=3))
    assert db.execute(QUERY).fetchone() == (False, None)


async def test_a_pause_by_the_declarer_ends_with_its_declaration(store, db):
    """Also when another declarer takes the queue over."""
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=1, paused=True))
    assert db.execute(QUERY).fetchone() == (True, "uid")
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=2, paused=False))
    assert db.execute(QUERY).fetchone() == (False, None)
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=3, paused=True))
    await store.queues.declare("q", QueueDeclaration(declared_by="other", generation=1, paused=False))
    assert db.execute(QUERY).fetchone() == (False, None)
