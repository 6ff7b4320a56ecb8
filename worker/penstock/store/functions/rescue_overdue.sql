-- Purpose: reclaim attempts that exceeded their deadline although their worker lives: a hung task must not keep its job
-- forever. It counts as a failed attempt: deferred by the queue's retry settings, or a dead letter after the last one. No
-- outcome is written with the attempt's token: any later write of the worker is fenced. Only for queues with a deadline; does
-- nothing unless may_rescue allows it: an attempt may have ended during an outage. `buried` counts the dead letters; the name
-- stays, because workers of the adjacent release read it.
-- Index: queue_deadline; job_pick, the ready ranges of those queues. Locks: the jobs' rows, skip locked (an acknowledgement in
-- flight wins); then as limit_give_back.
CREATE OR REPLACE FUNCTION penstock.rescue_overdue(
  p_holder text, p_lease double precision, OUT retried integer, OUT buried integer
) LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_ids bigint[];
BEGIN
  retried := 0; buried := 0;
  IF NOT EXISTS (SELECT FROM penstock.queue AS q WHERE q.job_deadline IS NOT NULL)
     OR NOT penstock.may_rescue(p_holder, p_lease) THEN
    RETURN;
  END IF;
  v_ids := ARRAY(
    SELECT j.id FROM penstock.queue AS q JOIN penstock.job AS j ON j.queue = q.id
    WHERE q.job_deadline IS NOT NULL AND j.ord IS NOT NULL AND j.token IS NOT NULL AND j.deadline < v_now
    ORDER BY j.id LIMIT 5000 FOR UPDATE OF j SKIP LOCKED);
  PERFORM penstock.limit_give_back(ARRAY(SELECT j.queue FROM penstock.job AS j WHERE j.id = ANY (v_ids)));
  WITH gone AS (
    DELETE FROM penstock.job AS j WHERE j.id = ANY (v_ids) AND j.attempt >= j.max_attempts AND NOT j.cancel
      AND NOT EXISTS (SELECT FROM penstock.dead AS d WHERE d.id = j.id)  -- an id that a COPY reused must not fail the rescue
    RETURNING j.*
  )
  INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, worker, reason,
                             task, unique_key, unique_kept, unique_until, headers, args, error, errors)
  SELECT g.id, g.queue, g.priority, g.attempt, g.max_attempts, g.crashes, g.created_at, v_now, g.worker, 'deadline',
         g.task, coalesce(g.unique_key, g.unique_kept), g.unique_kept, g.unique_until, g.headers, g.args,
         penstock.deadline_error(g.attempt, g.deadline - g.claimed_at), g.errors
  FROM gone AS g;
  GET DIAGNOSTICS buried = ROW_COUNT;
  PERFORM penstock.end_cancelled(v_ids, 'deadline');
  UPDATE penstock.job AS j
  SET ord = NULL, token = NULL, worker = NULL, claimed_at = NULL, deadline = NULL, ready_at = NULL, unique_kept = NULL,
      reason = 'deadline', due_at = v_now + make_interval(secs => penstock.retry_delay(q.retry, j.attempt)),
      errors = jsonb_path_query_array(coalesce(j.errors, '[]')
        || penstock.deadline_error(j.attempt, j.deadline - j.claimed_at), '$[last-4 to last]')
  FROM penstock.queue AS q WHERE j.id = ANY (v_ids) AND q.id = j.queue;
  GET DIAGNOSTICS retried = ROW_COUNT;
END $$;
