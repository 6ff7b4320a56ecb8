-- Purpose: the part of ack that ends jobs: completed, cancelled, failed, and every row flagged cancel. The row moves from job
-- to outcome, a failed one also to dead; an error with the key "crash" means that the attempt's process crashed. Returns how
-- many were accepted in the state that was sent.
-- Index: job's key. Locks: the rows, in id order; then the limits of their queues.
CREATE OR REPLACE FUNCTION penstock.ack_ended(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[],
  p_reasons text[], p_errors jsonb[], p_results jsonb[], p_forensics jsonb[]
) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_accepted integer;
  v_queues integer[];
BEGIN
  WITH gone AS (
    DELETE FROM penstock.job AS j
    USING (SELECT * FROM unnest(p_ids, p_tokens, p_states, p_durations, p_reasons, p_errors, p_results, p_forensics)
             AS u (id, token, state, duration, reason, error, result, forensics) ORDER BY u.id) AS a
    WHERE j.id = a.id AND j.token = a.token AND j.worker = p_worker
      AND (coalesce(a.state, 'completed') IN ('completed', 'cancelled', 'failed') OR j.cancel)
    RETURNING j.id, j.token, j.worker, j.created_at, j.ready_at, j.claimed_at, j.queue, j.attempt, j.max_attempts,
      j.crashes + CASE WHEN a.error ? 'crash' THEN 1 ELSE 0 END AS crashes, j.priority, j.task, j.headers, j.args, j.errors, j.unique_kept, j.unique_key, j.unique_until,
      CASE WHEN j.cancel THEN 'cancelled' ELSE coalesce(a.state, 'completed') END AS state,
      coalesce(a.state, 'completed') AS sent,
      a.duration, a.reason, a.error, a.result, a.forensics
  ), dead_lettered AS (
    INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, worker, reason,
                               task, unique_key, unique_kept, unique_until, headers, args, error, errors,
                               forensics)
    SELECT g.id, g.queue, g.priority, g.attempt, g.max_attempts, g.crashes, g.created_at, v_now, g.worker,
           coalesce(g.reason, 'failed'), g.task, coalesce(g.unique_key, g.unique_kept), g.unique_kept, g.unique_until,
           g.headers, g.args, g.error, g.errors, g.forensics
    FROM gone AS g WHERE g.state = 'failed'
  ), kept AS (
    INSERT INTO penstock.outcome (job_id, token, worker, created_at, ready_at, claimed_at, finished_at, duration, queue,
      attempt, max_attempts, crashes, priority, final, state, reason, task, error, result, headers, args)
  SELECT g.id, g.token, g.worker, g.created_at, g.ready_at, g.claimed_at, v_now, g.duration, g.queue, g.attempt,
         g.max_attempts, g.crashes, g.priority, true, g.state, g.reason, g.task, g.error, g.result,
         CASE WHEN q.keep_body THEN g.headers END, CASE WHEN q.keep_body THEN g.args END
  FROM gone AS g LEFT JOIN penstock.queue AS q ON q.id = g.queue
  )
  SELECT count(*) FILTER (WHERE g.state = g.sent), array_agg(g.queue) INTO v_accepted, v_queues FROM gone AS g;
  PERFORM penstock.limit_give_back(v_queues);
  RETURN v_accepted;
END $$;
