-- Purpose: make due deferred jobs ready, about p_limit in all, divided evenly among the queues that have some. Queues that are
-- neither declared nor served take part if they are among the 1,000 oldest. ready_at becomes the due time: a late promotion
-- shows as wait. Returns how many, and seconds until the next one is due (0: there are more; NULL: none).
-- Index: job_due. Locks: the rows, skip locked: two leaders do no harm.
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
  v_next timestamptz;
  v_queues integer[];
  v_share integer;
BEGIN
  SELECT array_agg(q.id) FILTER (WHERE d.due_at <= v_now), min(d.due_at) INTO v_queues, v_next
  FROM penstock.tended_queue AS q, LATERAL (SELECT j.due_at FROM penstock.job AS j
    WHERE j.queue = q.id AND j.due_at IS NOT NULL ORDER BY j.queue, j.due_at LIMIT 1) AS d;
  IF v_queues IS NOT NULL THEN
    v_share := ceil(p_limit::double precision / cardinality(v_queues));
    PERFORM pg_current_xact_id();  -- before any ord is drawn
    WITH due AS (
      SELECT d.id FROM unnest(v_queues) AS q (id), LATERAL (
        SELECT j.id, j.due_at FROM penstock.job AS j
        WHERE j.queue = q.id AND j.due_at IS NOT NULL AND j.due_at <= v_now
        ORDER BY j.queue, j.due_at LIMIT v_share FOR UPDATE SKIP LOCKED) AS d
      ORDER BY d.due_at
    ), drawn AS MATERIALIZED (SELECT due.id, nextval('penstock.job_ord_seq') AS ord FROM due), moved AS (
      UPDATE penstock.job AS j SET ord = drawn.ord, ready_at = j.due_at, due_at = NULL
      FROM drawn WHERE j.id = drawn.id AND j.due_at IS NOT NULL RETURNING j.queue
    )
    SELECT array_agg(DISTINCT queue), count(*) INTO v_queues, promoted FROM moved;
    PERFORM penstock.wake(v_queues);
    SELECT min(d.due_at) INTO v_next
    FROM penstock.tended_queue AS q, LATERAL (SELECT j.due_at FROM penstock.job AS j
      WHERE j.queue = q.id AND j.due_at IS NOT NULL ORDER BY j.queue, j.due_at LIMIT 1) AS d;
  END IF;
  promoted := coalesce(promoted, 0);
  next_due := CASE WHEN v_next IS NOT NULL THEN greatest(extract(epoch FROM v_next - clock_timestamp()), 0) END;
END $$;
