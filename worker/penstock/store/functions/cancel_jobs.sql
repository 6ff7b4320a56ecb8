-- Purpose: cancel jobs by id. A waiting job ends at once; a running one is flagged, its worker is notified, and it ends with
-- its attempt. Returns for each live job cancelled or cancelling; jobs that already ended are left out.
-- Index: job's key. Locks: the rows, in id order; waits for a claim or an acknowledgement in flight.
CREATE OR REPLACE FUNCTION penstock.cancel_jobs(p_ids bigint[], p_reason text DEFAULT NULL)
RETURNS TABLE (id bigint, verdict text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := clock_timestamp();
  v_workers bigint[];
BEGIN
  IF length(p_reason) > 500 THEN
    RAISE EXCEPTION 'cancel: the reason has % characters, the limit is 500', length(p_reason) USING ERRCODE = '54000';
  END IF;
  PERFORM FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE;
  IF EXISTS (SELECT FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND j.token IS NULL) THEN
    PERFORM penstock.ensure_partition();
  END IF;
  RETURN QUERY WITH gone AS (
    DELETE FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND j.token IS NULL RETURNING j.*
  ), kept AS (
    INSERT INTO penstock.outcome (job_id, created_at, ready_at, finished_at, queue, attempt, max_attempts, crashes, priority,
                                  final, state, reason, task, headers, args)
    SELECT g.id, g.created_at, g.ready_at, v_now, g.queue, g.attempt, g.max_attempts, g.crashes, g.priority, true,
           'cancelled', coalesce(p_reason, 'asked'), g.task, CASE WHEN q.keep_body THEN g.headers END,
           CASE WHEN q.keep_body THEN g.args END
    FROM gone AS g LEFT JOIN penstock.queue AS q ON q.id = g.queue
  )
  SELECT g.id, 'cancelled' FROM gone AS g;
  RETURN QUERY UPDATE penstock.job AS j SET cancel = true WHERE j.id = ANY (p_ids) AND j.token IS NOT NULL
    RETURNING j.id, 'cancelling';
  SELECT array_agg(DISTINCT j.worker) INTO v_workers FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND j.cancel;
  PERFORM pg_notify('penstock_control', w::text) FROM unnest(v_workers) AS w;
END $$;
