-- Purpose: for `penstock doctor`, the queues that are neither declared nor served: how many (counted to 10,000), the limit, the
-- newest, and of the 1,000 oldest the one with most jobs (counted to 1,000).
-- Index: queue_undeclared; job_pick and job_due, at most 1,000 entries of a queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.undeclared() RETURNS jsonb LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
  SELECT jsonb_build_object(
    'number', (SELECT count(*) FROM (SELECT FROM penstock.queue AS q WHERE q.declared_by IS NULL AND NOT EXISTS (
                 SELECT FROM penstock.worker AS w WHERE w.state <> 'lost' AND q.id = ANY (w.queues)) LIMIT 10000) AS s),
    'most', (SELECT count(*) FROM penstock.queue_slot AS s WHERE s.slot > 0),
    'free', (SELECT count(*) FROM penstock.queue_slot AS s WHERE s.queue IS NULL),
    'newest', (SELECT q.name FROM penstock.queue AS q WHERE q.declared_by IS NULL ORDER BY q.id DESC LIMIT 1),
    'newest_seconds', (SELECT extract(epoch FROM clock_timestamp() - q.created_at) FROM penstock.queue AS q
                       WHERE q.declared_by IS NULL ORDER BY q.id DESC LIMIT 1),
    'biggest', b.name, 'biggest_jobs', b.jobs)
  FROM (SELECT) AS one LEFT JOIN (
    SELECT q.name, r.jobs + d.jobs AS jobs
    FROM (SELECT x.id, x.name FROM penstock.queue AS x WHERE x.declared_by IS NULL ORDER BY x.id LIMIT 1000) AS q,
      LATERAL (SELECT count(*) AS jobs FROM (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.ord IS NOT NULL
                                             ORDER BY j.queue, j.priority, j.ord LIMIT 1000) AS s) AS r,
      LATERAL (SELECT count(*) AS jobs FROM (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.due_at IS NOT NULL
                                             ORDER BY j.queue, j.due_at LIMIT 1000) AS s) AS d
    ORDER BY jobs DESC LIMIT 1) AS b ON true
$$;
