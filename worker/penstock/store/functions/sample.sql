-- Purpose: the queues with these names as the autoscaler and the live view see them, in one query; NULL: every declared or
-- served queue and the 1,000 oldest others. Costs what those queues cost, however many more there are. Counts stop at p_cap. Of
-- the first p_cap jobs that fall due within p_soon seconds, due_soon counts those that workers did not defer because they
-- cannot run them. workers lists those that are not lost. Index entries are counted first, from the queue's heads on, as many
-- as p_cap and the workers' reports make possible. A queue with fewer is read row by row: ready, in_flight and oldest are
-- exact. One with as many is capped: only its oldest ready row is read, from the marks on, and in_flight is the sum of its
-- workers' reports.
-- Index: job_pick, the count without the table where it is vacuumed; job_due, dead_queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.sample(p_names text[], p_cap integer, p_soon double precision)
RETURNS TABLE (queue integer, name text, paused boolean, declared boolean, ready bigint, capped boolean, deferred bigint,
               due_soon bigint, in_flight bigint, dead bigint, oldest double precision, workers jsonb)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $$
  WITH wanted AS (
    SELECT q.* FROM unnest(p_names) AS n (name), LATERAL (SELECT * FROM penstock.queue AS x WHERE x.name = n.name LIMIT 1) AS q
    UNION ALL SELECT q.* FROM penstock.tended_queue AS t, LATERAL (SELECT * FROM penstock.queue AS x WHERE x.id = t.id LIMIT 1) AS q
    WHERE p_names IS NULL
  ), served AS (
    SELECT q.id AS queue, sum(coalesce((a.in_flight ->> q.name)::bigint, 0))::bigint AS in_flight,
           jsonb_agg(jsonb_build_object('id', a.id, 'identity', a.identity, 'pod', a.pod, 'state', a.state, 'concurrency', a.concurrency,
             'in_flight', coalesce((a.in_flight ->> q.name)::bigint, 0), 'done', coalesce((a.done ->> q.name)::bigint, 0),
             'lease_left', extract(epoch FROM a.lease_until - clock_timestamp()), 'info', a.info)) AS workers
    FROM penstock.worker AS a JOIN wanted AS q ON q.id = ANY (a.queues) WHERE a.state <> 'lost' GROUP BY q.id
  )
  SELECT q.id, q.name, q.paused_at IS NOT NULL, q.declared_by IS NOT NULL,
         CASE WHEN c.entries < m.most THEN least(e.ready, p_cap + 1) ELSE p_cap + 1 END,
         c.entries >= m.most OR e.ready > p_cap, d.deferred, n.due_soon,
         CASE WHEN c.entries < m.most THEN e.running ELSE m.in_flight END, x.dead,
         extract(epoch FROM clock_timestamp() - coalesce(e.oldest, f.oldest))::double precision, coalesce(w.workers, '[]')
  FROM wanted AS q LEFT JOIN served AS w ON w.queue = q.id
  CROSS JOIN LATERAL (SELECT coalesce(w.in_flight, 0) AS in_flight, p_cap + 1 + coalesce(w.in_flight, 0) AS most) AS m
  CROSS JOIN LATERAL (
    SELECT count(*) AS entries FROM (SELECT FROM generate_series(0, 3) AS p (n), LATERAL (SELECT FROM penstock.job AS j
      WHERE j.queue = q.id AND j.priority = p.n::smallint AND j.ord >= coalesce(q.heads[p.n + 1], 0)
      ORDER BY j.queue, j.priority, j.ord LIMIT m.most) AS s LIMIT m.most) AS s) AS c
  CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE s.token IS NULL) AS ready, count(*) FILTER (WHERE s.token IS NOT NULL) AS running,
           min(s.ready_at) FILTER (WHERE s.token IS NULL) AS oldest
    FROM generate_series(0, 3) AS p (n), LATERAL (
      SELECT j.token, j.ready_at FROM penstock.job AS j
      WHERE j.queue = q.id AND j.priority = p.n::smallint AND j.ord >= coalesce(q.heads[p.n + 1], 0)
      ORDER BY j.queue, j.priority, j.ord LIMIT m.most) AS s
    WHERE c.entries BETWEEN 1 AND m.most - 1) AS e
  CROSS JOIN LATERAL (
    SELECT min(s.ready_at) AS oldest FROM generate_series(0, 3) AS p (n), LATERAL (
      SELECT s.ready_at FROM (SELECT j.token, j.ready_at FROM penstock.job AS j
        WHERE j.queue = q.id AND j.priority = p.n::smallint AND j.ord >= coalesce(q.marks[p.n + 1], 0)
        ORDER BY j.queue, j.priority, j.ord LIMIT m.most) AS s WHERE s.token IS NULL LIMIT 1) AS s
    WHERE c.entries >= m.most) AS f
  CROSS JOIN LATERAL (SELECT count(*) AS deferred FROM (SELECT FROM penstock.job AS j
      WHERE j.queue = q.id AND j.due_at IS NOT NULL ORDER BY j.queue, j.due_at LIMIT p_cap) AS s) AS d
  CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE coalesce(s.reason, '') <> ALL ('{breaker,task_unknown,incompatible_arguments}')) AS due_soon
    FROM (SELECT j.reason FROM penstock.job AS j
          WHERE j.queue = q.id AND j.due_at <= statement_timestamp() + make_interval(secs => p_soon)
          ORDER BY j.queue, j.due_at LIMIT p_cap) AS s) AS n
  CROSS JOIN LATERAL (SELECT count(*) AS dead FROM (SELECT FROM penstock.dead AS e WHERE e.queue = q.id LIMIT p_cap) AS s) AS x
$$;
