-- Purpose: the sweep of rescue: reclaim running rows whose worker is among p_lost or has no row, 5,000 per call. Skips a row
-- that another transaction has locked, as an acknowledgement in flight does. Of the workers in p_lost, whose rows the caller
-- has locked, those without claims left are marked swept; the next rescue returns to the others. A key that applied until the
-- start stays released: it is unknown whether the attempt had started.
-- Index: job_pick, whole; job's key. Locks: the jobs' rows, in id order, skip locked.
CREATE OR REPLACE FUNCTION penstock.reclaim(p_lost bigint[], OUT rescued integer, OUT poisoned integer)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_found bigint[] := ARRAY(
    SELECT j.id FROM penstock.job AS j WHERE j.ord IS NOT NULL AND j.token IS NOT NULL
      AND (j.worker = ANY (p_lost) OR NOT EXISTS (SELECT FROM penstock.worker AS w WHERE w.id = j.worker)));
  v_ids bigint[];
BEGIN
  v_ids := ARRAY(
    SELECT j.id FROM penstock.job AS j WHERE j.id = ANY (v_found) AND j.token IS NOT NULL
      AND (j.worker = ANY (p_lost) OR NOT EXISTS (SELECT FROM penstock.worker AS w WHERE w.id = j.worker))
    ORDER BY j.id LIMIT 5000 FOR UPDATE SKIP LOCKED);
  PERFORM penstock.limit_give_back(ARRAY(SELECT j.queue FROM penstock.job AS j WHERE j.id = ANY (v_ids)));
  WITH gone AS (
    DELETE FROM penstock.job AS j WHERE j.id = ANY (v_ids) AND j.crashes >= 2 AND NOT j.cancel
      AND NOT EXISTS (SELECT FROM penstock.dead AS d WHERE d.id = j.id)  -- an id that a COPY reused must not fail the rescue
    RETURNING j.*
  )
  INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, worker, reason,
                             task, unique_key, unique_kept, unique_until, headers, args, error, errors)
  SELECT g.id, g.queue, g.priority, g.attempt, g.max_attempts, g.crashes + 1, g.created_at, v_now, g.worker, 'poison',
         g.task, coalesce(g.unique_key, g.unique_kept), g.unique_kept, g.unique_until, g.headers, g.args,
         jsonb_build_object('type', 'WorkerLost', 'message', 'the worker was lost three times while it had claimed this job: '
           || (penstock.append_worker_loss(NULL, g.worker, g.attempt) -> 0 ->> 'message')),
         penstock.append_worker_loss(g.errors, g.worker, g.attempt)
  FROM gone AS g;
  GET DIAGNOSTICS poisoned = ROW_COUNT;
  PERFORM penstock.end_cancelled(v_ids, 'worker_lost');
  UPDATE penstock.job AS j
  SET ord = NULL, token = NULL, worker = NULL, claimed_at = NULL, deadline = NULL, ready_at = NULL, unique_kept = NULL,
      crashes = j.crashes + 1, reason = 'worker_lost', errors = penstock.append_worker_loss(j.errors, j.worker, j.attempt),
      due_at = v_now + (0.5 + random()) * interval '1 second' * 2 ^ j.crashes
  WHERE j.id = ANY (v_ids);
  GET DIAGNOSTICS rescued = ROW_COUNT;
  UPDATE penstock.worker AS w SET swept = true WHERE w.id = ANY (p_lost) AND NOT w.id = ANY (ARRAY(
    SELECT j.worker FROM penstock.job AS j WHERE j.id = ANY (v_found) AND j.token IS NOT NULL));
END $$;
