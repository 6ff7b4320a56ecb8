-- Purpose: one queue as its worker may see it, for hooks and for the forensics of a dead letter. Counts stop at p_cap, as in
-- snapshot.
-- Index: job_pick, job_due, dead_queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.depth(p_queue integer, p_cap integer)
RETURNS TABLE (ready bigint, deferred bigint, in_flight bigint, dead bigint, oldest double precision)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
  SELECT r.ready, d.deferred, r.running, x.dead, extract(epoch FROM clock_timestamp() - r.oldest)::double precision
  FROM (
    SELECT count(*) FILTER (WHERE s.token IS NULL) AS ready, count(*) FILTER (WHERE s.token IS NOT NULL) AS running,
           min(s.ready_at) FILTER (WHERE s.token IS NULL) AS oldest
    FROM (SELECT j.token, j.ready_at FROM penstock.job AS j WHERE j.queue = p_queue AND j.ord IS NOT NULL
          ORDER BY j.queue, j.priority, j.ord LIMIT p_cap) AS s) AS r,
    (SELECT count(*) AS deferred FROM (SELECT FROM penstock.job AS j WHERE j.queue = p_queue AND j.due_at IS NOT NULL
       ORDER BY j.queue, j.due_at LIMIT p_cap) AS s) AS d,
    (SELECT count(*) AS dead FROM (SELECT FROM penstock.dead AS e WHERE e.queue = p_queue LIMIT p_cap) AS s) AS x
$$;
