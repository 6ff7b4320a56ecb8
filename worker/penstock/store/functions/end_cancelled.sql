-- Purpose: end those of the jobs that are flagged cancel, when a rescue reclaims them from their worker. The outcome has no
-- token: a late acknowledgement of the attempt must not read as accepted.
-- Index: job's key. Locks: the rows, which the caller has locked.
CREATE OR REPLACE FUNCTION penstock.end_cancelled(p_ids bigint[], p_reason text) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND j.cancel) THEN
    RETURN;
  END IF;
  PERFORM penstock.ensure_partition();
  WITH gone AS (DELETE FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND j.cancel RETURNING j.*)
  INSERT INTO penstock.outcome (job_id, worker, created_at, ready_at, claimed_at, finished_at, queue, attempt,
      max_attempts, crashes, priority, final, state, reason, task, headers, args)
  SELECT g.id, g.worker, g.created_at, g.ready_at, g.claimed_at, clock_timestamp(), g.queue, g.attempt, g.max_attempts,
         g.crashes + CASE WHEN p_reason = 'worker_lost' THEN 1 ELSE 0 END, g.priority, true, 'cancelled', p_reason, g.task,
         CASE WHEN q.keep_body THEN g.headers END, CASE WHEN q.keep_body THEN g.args END
  FROM gone AS g LEFT JOIN penstock.queue AS q ON q.id = g.queue;
END $$;
