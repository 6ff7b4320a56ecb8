-- Purpose: the second half: publish for each queue and priority the lowest unclaimed ord (marks), and the lowest of any row
-- (heads), at most p_last_ord each. Does nothing and returns NULL while a transaction up to p_horizon is open; else returns how
-- many queues' marks moved. A plain read, not SKIP LOCKED: a claim in flight may roll back. A mark that is too low is only
-- slower: two publishers at once do no harm. Marks above the last ord drawn belong to another sequence: they are found from the
-- start again. A mark that an audit dropped meanwhile is not published again. Of queues that are neither declared nor served,
-- the 1,000 oldest have marks.
-- Index: job_pick, two probes for each queue and priority. Locks: the rows of the queues whose marks move, skip locked.
CREATE OR REPLACE FUNCTION penstock.publish_marks(p_last_ord bigint, p_horizon bigint) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
DECLARE
  v_moved integer;
  v_last bigint := (SELECT s.last_value FROM penstock.job_ord_seq AS s);
BEGIN
  IF p_last_ord > v_last OR p_horizon >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
    RETURN 0;  -- started on another server, before a failover or a move
  END IF;
  IF pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= p_horizon THEN
    RETURN NULL;
  END IF;
  WITH m AS MATERIALIZED (
    SELECT x.id, x.was, array_agg(least(f.ord, p_last_ord) ORDER BY p.priority) AS marks,
           array_agg(least(h.ord, p_last_ord) ORDER BY p.priority) AS heads
    FROM penstock.tended_queue AS v CROSS JOIN LATERAL (
      SELECT q.id, q.marks AS was, CASE WHEN v_last >= ALL (q.marks) THEN q.marks END AS marks,
             CASE WHEN v_last >= ALL (q.heads) THEN q.heads END AS heads
      FROM penstock.queue AS q WHERE q.id = v.id LIMIT 1) AS x CROSS JOIN generate_series(0, 3) AS p (priority)
    LEFT JOIN LATERAL (
      SELECT j.ord FROM penstock.job AS j
      WHERE j.queue = x.id AND j.priority = p.priority::smallint AND j.token IS NULL
        AND j.ord >= coalesce(x.marks[p.priority + 1], 0)
      ORDER BY j.queue, j.priority, j.ord LIMIT 1) AS f ON true
    LEFT JOIN LATERAL (
      SELECT j.ord FROM penstock.job AS j
      WHERE j.queue = x.id AND j.priority = p.priority::smallint AND j.ord >= coalesce(x.heads[p.priority + 1], 0)
      ORDER BY j.queue, j.priority, j.ord LIMIT 1) AS h ON true
    GROUP BY x.id, x.was
  ), free AS (
    SELECT q.id FROM m JOIN penstock.queue AS q ON q.id = m.id
    WHERE (q.marks, q.heads) IS DISTINCT FROM (m.marks, m.heads) AND q.marks IS NOT DISTINCT FROM m.was ORDER BY q.id FOR NO KEY UPDATE OF q SKIP LOCKED
  )
  UPDATE penstock.queue AS q SET marks = m.marks, heads = m.heads, marks_at = clock_timestamp()
  FROM m, free WHERE q.id = m.id AND q.id = free.id AND q.marks IS NOT DISTINCT FROM m.was;
  GET DIAGNOSTICS v_moved = ROW_COUNT;
  RETURN v_moved;
END $$;
