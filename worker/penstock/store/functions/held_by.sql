-- Purpose: how many jobs each worker of a queue has claimed, exactly; reads at most p_cap rows. Workers' own reports lag by a
-- third of a lease, too much for choosing the worker with the fewest. Workers without claims are left out.
-- Index: job_pick. Locks: none.
CREATE OR REPLACE FUNCTION penstock.held_by(p_queue integer, p_cap integer) RETURNS TABLE (worker bigint, jobs bigint)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  SELECT s.worker, count(*)
  FROM (SELECT j.worker FROM penstock.job AS j WHERE j.queue = p_queue AND j.ord IS NOT NULL
        ORDER BY j.queue, j.priority, j.ord LIMIT p_cap) AS s
  WHERE s.worker IS NOT NULL GROUP BY s.worker
$$;
