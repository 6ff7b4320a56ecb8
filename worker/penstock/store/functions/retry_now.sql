-- Purpose: make deferred jobs ready at once, whatever their reason. Returns how many.
-- Index: job's key. Locks: the rows, in id order.
CREATE OR REPLACE FUNCTION penstock.retry_now(p_ids bigint[]) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
  v_queues integer[];
  v_count integer;
BEGIN
  PERFORM pg_current_xact_id();  -- before any ord is drawn
  PERFORM FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE;
  WITH moved AS (
    UPDATE penstock.job AS j SET ord = nextval('penstock.job_ord_seq'), ready_at = clock_timestamp(), due_at = NULL
    WHERE j.id = ANY (p_ids) AND j.due_at IS NOT NULL RETURNING j.queue
  )
  SELECT array_agg(DISTINCT queue), count(*) INTO v_queues, v_count FROM moved;
  PERFORM penstock.wake(v_queues);
  RETURN v_count;
END $$;
