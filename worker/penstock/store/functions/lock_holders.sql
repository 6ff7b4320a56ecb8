-- Purpose: for `penstock doctor`, the open transactions that lock rows which claims and acknowledgements need: those that are
-- idle, and those older than one second. Reads the first 1,000 ordered and deferred jobs of each queue. `blocked` counts the
-- sessions that wait for it.
-- Index: job_pick, job_due. Locks: none.
CREATE OR REPLACE FUNCTION penstock.lock_holders() RETURNS jsonb LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
  WITH locked AS MATERIALIZED (
    SELECT 'job' AS name, j.id::text AS row, j.xmax FROM penstock.tended_queue AS q, LATERAL (
      (SELECT j.id, j.xmax FROM penstock.job AS j WHERE j.queue = q.id AND j.ord IS NOT NULL
       ORDER BY j.queue, j.priority, j.ord LIMIT 1000)
      UNION ALL (SELECT j.id, j.xmax FROM penstock.job AS j WHERE j.queue = q.id AND j.due_at IS NOT NULL
                 ORDER BY j.queue, j.due_at LIMIT 1000)) AS j
    UNION ALL SELECT 'queue', q.name, q.xmax FROM penstock.queue AS q
    UNION ALL SELECT 'queue_limit', l.queue::text, l.xmax FROM penstock.queue_limit AS l
    UNION ALL SELECT 'worker', w.id::text, w.xmax FROM penstock.worker AS w
    UNION ALL SELECT 'leader', l.name, l.xmax FROM penstock.leader AS l
  ), found AS (
    SELECT l.pid, l.transactionid AS xid, h.name, h.row FROM pg_locks AS l JOIN locked AS h ON h.xmax = l.transactionid
    WHERE l.locktype = 'transactionid' AND l.granted
  )
  SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.seconds DESC NULLS FIRST), '[]') FROM (
    SELECT f.pid, p.gid AS prepared, nullif(a.application_name, '') AS name, a.state,
           extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS seconds,
           count(f.row) AS rows, min(f.name || ' ' || f.row) AS example,
           (SELECT count(DISTINCT b.pid) FROM pg_locks AS b WHERE NOT b.granted AND f.pid = ANY (pg_blocking_pids(b.pid))) AS blocked
    FROM found AS f LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
    LEFT JOIN pg_prepared_xacts AS p ON f.pid IS NULL AND p.transaction = f.xid
    WHERE f.pid IS DISTINCT FROM pg_backend_pid() AND (f.pid IS NOT NULL OR p.gid IS NOT NULL)
      AND (a.state IS DISTINCT FROM 'active' OR a.xact_start < clock_timestamp() - interval '1 second')
    GROUP BY f.pid, p.gid, p.prepared, a.application_name, a.state, a.xact_start
  ) AS s
$$;
