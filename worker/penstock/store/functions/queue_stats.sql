-- Purpose: statistics of queues from the outcomes of the last p_seconds: attempts by state, and the 50th and 95th percentiles
-- of the wait from ready to claimed and of the run time, in seconds. Queues without outcomes are listed with zeros; of those
-- neither declared nor served, the 1,000 oldest.
-- Index: none: reads the partitions of those days, and costs what they hold. Locks: none.
CREATE OR REPLACE FUNCTION penstock.queue_stats(p_queue text, p_seconds double precision)
RETURNS TABLE (name text, completed bigint, retried bigint, dead bigint, cancelled bigint, wait_p50 double precision,
               wait_p95 double precision, run_p50 double precision, run_p95 double precision)
LANGUAGE sql STABLE SET jit = off AS $$
  SELECT q.name, count(*) FILTER (WHERE o.state = 'completed'), count(*) FILTER (WHERE o.state = 'retry'),
         count(*) FILTER (WHERE o.state = 'failed'), count(*) FILTER (WHERE o.state = 'cancelled'),
         percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM o.claimed_at - o.ready_at)::double precision),
         percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM o.claimed_at - o.ready_at)::double precision),
         percentile_cont(0.5) WITHIN GROUP (ORDER BY o.duration), percentile_cont(0.95) WITHIN GROUP (ORDER BY o.duration)
  FROM (SELECT x.id FROM penstock.queue AS x WHERE x.name = p_queue
        UNION ALL SELECT t.id FROM penstock.tended_queue AS t WHERE p_queue IS NULL) AS v
  CROSS JOIN LATERAL (SELECT x.id, x.name FROM penstock.queue AS x WHERE x.id = v.id LIMIT 1) AS q
  LEFT JOIN penstock.outcome AS o ON o.queue = q.id AND o.finished_at > now() - make_interval(secs => p_seconds)
  GROUP BY q.name ORDER BY q.name
$$;
