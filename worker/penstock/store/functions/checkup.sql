-- Purpose: the health of a database for `penstock doctor`: leaders, workers by state, due jobs that were not promoted, tasks
-- that no worker knows or whose arguments none accepts, the checksum of the installed functions, undeclared, integrity and
-- lock_holders. Counts stop at 1,000; durations are in seconds.
-- Index: job_due, the first 1,000 rows of each declared or served queue, 10 of others. Locks: none.
CREATE OR REPLACE FUNCTION penstock.checkup() RETURNS jsonb
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  SELECT jsonb_build_object(
    'functions', (SELECT f.checksum FROM penstock.schema_function AS f),
    'leaders', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', l.name, 'holder', l.holder,
        'leading_seconds', extract(epoch FROM clock_timestamp() - l.held_since),
        'lease_left', extract(epoch FROM l.lease_until - clock_timestamp())) ORDER BY l.name), '[]')
      FROM penstock.leader AS l),
    'workers', (SELECT coalesce(jsonb_object_agg(s.state, s.number), '{}') FROM (
        SELECT CASE WHEN w.state <> 'lost' AND w.lease_until < clock_timestamp() THEN 'lapsed' ELSE w.state END AS state,
               count(*) AS number
        FROM penstock.worker AS w WHERE NOT (w.state = 'lost' AND w.swept) GROUP BY 1) AS s),
    'overdue', d.overdue, 'overdue_seconds', extract(epoch FROM clock_timestamp() - d.oldest), 'unknown', d.unknown,
    'incompatible', d.incompatible,
    'undeclared', penstock.undeclared(), 'integrity', penstock.integrity(), 'locks', penstock.lock_holders())
  FROM (
    SELECT count(*) FILTER (WHERE s.due_at < clock_timestamp()) AS overdue, min(s.due_at) AS oldest,
           coalesce(jsonb_agg(DISTINCT s.task) FILTER (WHERE s.reason = 'task_unknown'), '[]') AS unknown,
           coalesce(jsonb_agg(DISTINCT s.task) FILTER (WHERE s.reason = 'incompatible_arguments'), '[]') AS incompatible
    FROM (SELECT t.id, CASE WHEN t.id IN (SELECT v.id FROM penstock.served_queue AS v) THEN 1000 ELSE 10 END AS cap
          FROM penstock.tended_queue AS t) AS q CROSS JOIN LATERAL (
      SELECT j.due_at, j.reason, j.task FROM penstock.job AS j WHERE j.queue = q.id AND j.due_at IS NOT NULL
      ORDER BY j.queue, j.due_at LIMIT q.cap) AS s
  ) AS d
$$;
