-- Purpose: queues with a job that no claim or sample finds, because it lies below the queue's mark or head. There is none
-- unless the sequence of ord repeated its own values, in a copy of the database or after manual changes.
-- Index: job_pick, from the start of each priority to its mark: running jobs, and entries of ended ones until a vacuum. Of
-- queues that are neither declared nor served, the 1,000 oldest, the only ones with marks. Locks: none.
CREATE OR REPLACE FUNCTION penstock.queues_below_marks() RETURNS SETOF integer LANGUAGE sql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
  SELECT q.id FROM penstock.tended_queue AS t, LATERAL (SELECT * FROM penstock.queue AS x WHERE x.id = t.id LIMIT 1) AS q
  WHERE (q.marks IS NOT NULL OR q.heads IS NOT NULL) AND EXISTS (
    SELECT FROM generate_series(0, 3) AS p (n), LATERAL (
      (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.priority = p.n::smallint AND j.ord < q.marks[p.n + 1]
         AND j.token IS NULL LIMIT 1)
      UNION ALL
      (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.priority = p.n::smallint AND j.ord < q.heads[p.n + 1] LIMIT 1)
    ) AS s)
$$;
