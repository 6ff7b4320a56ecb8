-- Purpose: make deferred jobs whose time has come ready, up to p_limit for each queue. ready_at becomes the due time, so
-- that a late promotion shows as wait. Returns how many, and seconds until the next one is due (NULL: none is deferred).
-- Index: job_due. Locks: the rows, stepping over locked ones, so that two leaders do no harm.
CREATE OR REPLACE FUNCTION penstock.promote(p_limit integer, OUT promoted integer, OUT next_due double precision)
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
  v_queues integer[];
BEGIN
  IF EXISTS (SELECT FROM penstock.queue AS q, LATERAL (SELECT FROM penstock.job AS j
               WHERE j.queue = q.id AND j.due_at IS NOT NULL AND j.due_at <= v_now LIMIT 1) AS d) THEN
    PERFORM pg_current_xact_id();  -- before any ord is drawn
    WITH due AS (
      SELECT d.id FROM penstock.queue AS q, LATERAL (
        SELECT j.id, j.due_at FROM penstock.job AS j
        WHERE j.queue = q.id AND j.due_at IS NOT NULL AND j.due_at <= v_now
        ORDER BY j.queue, j.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS d
      ORDER BY d.due_at
    ), drawn AS MATERIALIZED (SELECT due.id, nextval('penstock.job_ord_seq') AS ord FROM due), moved AS (
      UPDATE penstock.job AS j SET ord = drawn.ord, ready_at = j.due_at, due_at = NULL
      FROM drawn WHERE j.id = drawn.id AND j.due_at IS NOT NULL RETURNING j.queue
    )
    SELECT array_agg(DISTINCT queue), count(*) INTO v_queues, promoted FROM moved;
    PERFORM penstock.wake(v_queues);
  END IF;
  promoted := coalesce(promoted, 0);
  SELECT CASE WHEN min(d.due_at) IS NOT NULL THEN greatest(extract(epoch FROM min(d.due_at) - clock_timestamp()), 0) END
  INTO next_due
  FROM penstock.queue AS q, LATERAL (SELECT j.due_at FROM penstock.job AS j
    WHERE j.queue = q.id AND j.due_at IS NOT NULL ORDER BY j.queue, j.due_at LIMIT 1) AS d;
END $$;
