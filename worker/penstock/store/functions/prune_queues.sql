-- Purpose: delete queues that are undeclared, not served, not paused, and have been empty for their retention, at least an
-- hour; returns how many. In three calls: one marks a queue idle; a later one takes a transaction id after which every enqueue
-- sees that; a third one, once nothing up to it is open, locks the queue's slot and checks for jobs again. An enqueue that sees
-- the queue idle locks the slot. Above READ COMMITTED it does nothing: it could not see concurrent jobs.
-- Index: queue_slot's key, at most 2,000 rows from a random place; job_pick, job_due, dead_queue. Locks: slots, queues' rows,
-- skip locked.
CREATE OR REPLACE FUNCTION penstock.prune_queues() RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_from integer := (SELECT floor(random() * 1.05 * greatest(max(s.slot) - 2000 - min(s.slot), 0)) + min(s.slot)
                     FROM penstock.queue_slot AS s);
  v_slots integer[] := ARRAY(SELECT s.slot FROM penstock.queue_slot AS s WHERE s.slot >= v_from AND s.queue IS NOT NULL
                             ORDER BY s.slot LIMIT 2000);
  v_marked integer[];
  v_since timestamptz[];
  v_old integer[];
  v_idle integer[];
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RETURN 0;
  END IF;
  IF pg_current_xact_id_if_assigned() IS NULL THEN  -- the id must be newer than the marks that it bounds
    SELECT array_agg(q.id), array_agg(q.idle_since) INTO v_marked, v_since FROM penstock.queue AS q
    WHERE q.idle_since IS NOT NULL
      AND (q.idle_horizon IS NULL OR q.idle_horizon >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint);  -- a copy's
    UPDATE penstock.queue AS q SET idle_horizon = pg_current_xact_id()::text::bigint WHERE q.id IN (
      SELECT x.id FROM penstock.queue AS x, unnest(v_marked, v_since) AS m (id, since)
      WHERE x.id = m.id AND x.idle_since = m.since
        AND (x.idle_horizon IS NULL OR x.idle_horizon >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
      FOR NO KEY UPDATE OF x SKIP LOCKED);
  END IF;
  v_old := ARRAY(
    SELECT q.id FROM penstock.queue_slot AS s JOIN penstock.queue AS q ON q.id = s.queue
    WHERE s.slot = ANY (v_slots) AND q.declared_by IS NULL AND q.idle_since < v_now - greatest(q.retention, interval '1 hour')
      AND q.idle_horizon < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY s.slot FOR UPDATE SKIP LOCKED);
  v_idle := penstock.idle_queues(v_slots);  -- a separate statement: it sees what was committed before the locks
  v_old := ARRAY(SELECT unnest(v_old) INTERSECT SELECT unnest(v_idle));
  DELETE FROM penstock.queue AS q WHERE q.id = ANY (v_old);
  UPDATE penstock.queue_slot AS s SET queue = NULL, used_at = NULL WHERE s.slot IN (
    SELECT f.slot FROM penstock.queue_slot AS f LEFT JOIN penstock.queue AS q ON q.id = f.queue
    WHERE f.slot = ANY (v_slots) AND (q.id IS NULL OR q.declared_by IS NOT NULL) ORDER BY f.slot FOR UPDATE OF f SKIP LOCKED);
  DELETE FROM penstock.queue_slot AS s WHERE s.slot IN (
    SELECT f.slot FROM penstock.queue_slot AS f WHERE f.queue IS NULL AND f.slot < 0 FOR UPDATE SKIP LOCKED);
  UPDATE penstock.queue AS q
  SET idle_since = CASE WHEN q.id = ANY (v_idle) THEN v_now END, idle_horizon = NULL
  WHERE q.id IN (
    SELECT x.id FROM penstock.queue_slot AS s JOIN penstock.queue AS x ON x.id = s.queue
    WHERE s.slot = ANY (v_slots) AND (x.idle_since IS NOT NULL) <> (x.id = ANY (v_idle))
    ORDER BY x.id FOR UPDATE OF x SKIP LOCKED);
  RETURN cardinality(v_old);
END $$;
