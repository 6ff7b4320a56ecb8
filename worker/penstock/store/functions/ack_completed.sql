-- Purpose: the part of ack for the most common batch, in which every attempt completed: ack_ended without what only other
-- outcomes need. Rows flagged cancel end as cancelled. Returns how many completed.
-- Index: job's key, in one scan over all ids; a hash join matches the tokens. Both sides are in id order. Bodies are dropped
-- for those of the worker's queues that keep none. Locks: the rows, in id order; then the limits of their queues. Planner
-- settings: those of ack, its only caller, except for the two here.
CREATE OR REPLACE FUNCTION penstock.ack_completed(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], p_durations double precision[], p_results jsonb[]
) RETURNS integer
LANGUAGE plpgsql
SET enable_hashjoin = on
SET enable_nestloop = off
SET work_mem = '256MB'  -- an upper bound: a hash in several batches would change the order of the locks
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_accepted integer;
  v_queues integer[];
BEGIN
  WITH gone AS (
    DELETE FROM penstock.job AS j
    USING (SELECT * FROM unnest(p_ids, p_tokens, p_durations, p_results) AS u (id, token, duration, result)
           ORDER BY u.id) AS a
    WHERE j.id = ANY (p_ids) AND j.id = a.id AND j.token = a.token AND j.worker = p_worker
    RETURNING j.cancel, j.queue, j.id, j.token, j.worker, j.created_at, j.ready_at, j.claimed_at, j.attempt,
      j.max_attempts, j.crashes, j.priority, j.task, j.headers, j.args, a.duration, a.result
  ), kept AS (
    INSERT INTO penstock.outcome (job_id, token, worker, created_at, ready_at, claimed_at, finished_at, duration, queue,
      attempt, max_attempts, crashes, priority, final, state, task, result, headers, args)
    SELECT g.id, g.token, g.worker, g.created_at, g.ready_at, g.claimed_at, v_now, g.duration, g.queue, g.attempt,
           g.max_attempts, g.crashes, g.priority, true, CASE WHEN g.cancel THEN 'cancelled' ELSE 'completed' END, g.task,
           g.result, CASE WHEN NOT g.queue = ANY (n.bare) THEN g.headers END, CASE WHEN NOT g.queue = ANY (n.bare) THEN g.args END
    FROM gone AS g, (SELECT ARRAY(SELECT q.id FROM penstock.worker AS w JOIN penstock.queue AS q ON q.id = ANY (w.queues)
                                  WHERE w.id = p_worker AND NOT q.keep_body) AS bare) AS n
  )
  SELECT count(*) FILTER (WHERE NOT g.cancel), array_agg(g.queue) INTO v_accepted, v_queues FROM gone AS g;
  PERFORM penstock.limit_give_back(v_queues);
  RETURN v_accepted;
END $$;
