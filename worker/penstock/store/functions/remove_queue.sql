-- Purpose: delete a queue without jobs, dead letters and workers, for `penstock queues remove`; the caller repeats the call
-- while it returns waiting. The first call marks the queue idle, the next one takes a transaction id after which every enqueue
-- sees that, and a later one, once nothing up to it is open, locks the queue's slot, checks again and deletes: as prune_queues.
-- Returns missing, removed, waiting, removable (p_dry_run), or what blocks it (jobs, dead, workers) and how many, up to 1,000.
-- Index: queue(name); job_pick, job_due, dead_queue. Locks: the queue's row and its slot.
CREATE OR REPLACE FUNCTION penstock.remove_queue(
  p_queue text, p_dry_run boolean, OUT verdict text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
  v_queue penstock.queue%ROWTYPE;
  v_locked boolean;
BEGIN
  SELECT * INTO v_queue FROM penstock.queue AS q WHERE q.name = p_queue;
  IF NOT FOUND THEN
    verdict := 'missing';
    RETURN;
  END IF;
  v_locked := NOT p_dry_run AND v_queue.idle_horizon < pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  IF v_locked THEN
    PERFORM FROM penstock.queue_slot AS s WHERE s.queue = v_queue.id FOR UPDATE SKIP LOCKED;
    v_locked := FOUND;  -- else an enqueue or maintenance has it: start again
  END IF;
  SELECT s.what, s.jobs INTO verdict, number FROM (  -- a separate statement: it sees what was committed before the lock
    SELECT 1 AS place, 'jobs' AS what, (SELECT count(*) FROM (
        (SELECT FROM penstock.job AS j WHERE j.queue = v_queue.id AND j.ord IS NOT NULL LIMIT 1000)
        UNION ALL (SELECT FROM penstock.job AS j WHERE j.queue = v_queue.id AND j.due_at IS NOT NULL LIMIT 1000)) AS x) AS jobs
    UNION ALL SELECT 2, 'dead', (SELECT count(*) FROM (
        SELECT FROM penstock.dead AS d WHERE d.queue = v_queue.id LIMIT 1000) AS x)
    UNION ALL SELECT 3, 'workers', (SELECT count(*) FROM penstock.worker AS w
                                    WHERE w.state <> 'lost' AND v_queue.id = ANY (w.queues))) AS s
  WHERE s.jobs > 0 ORDER BY s.place LIMIT 1;
  IF verdict IS NOT NULL OR p_dry_run THEN
    verdict := coalesce(verdict, 'removable');
  ELSIF v_locked THEN
    DELETE FROM penstock.queue_limit AS l WHERE l.queue = v_queue.id;
    UPDATE penstock.schedule AS x SET removed_at = clock_timestamp(), generation = x.generation + 1
    WHERE x.queue = p_queue AND x.removed_at IS NULL;  -- else their next tick would make the queue again
    DELETE FROM penstock.queue AS q WHERE q.id = v_queue.id;
    UPDATE penstock.queue_slot AS s SET queue = NULL, used_at = NULL WHERE s.queue = v_queue.id AND s.slot > 0;
    DELETE FROM penstock.queue_slot AS s WHERE s.queue = v_queue.id;
    verdict := 'removed';
  ELSE
    verdict := 'waiting';
    IF v_queue.idle_since IS NOT NULL AND v_queue.idle_horizon IS NULL THEN
      UPDATE penstock.queue AS q SET idle_horizon = pg_current_xact_id()::text::bigint WHERE q.id = v_queue.id;
    ELSIF v_queue.idle_since IS NULL OR NOT EXISTS (SELECT FROM penstock.queue_slot AS s WHERE s.queue = v_queue.id) THEN
      INSERT INTO penstock.queue_slot (slot, queue) VALUES (-v_queue.id, v_queue.id) ON CONFLICT DO NOTHING;
      UPDATE penstock.queue AS q SET idle_since = clock_timestamp(), idle_horizon = NULL WHERE q.id = v_queue.id;
    END IF;
  END IF;
END $$;
