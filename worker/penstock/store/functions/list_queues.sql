-- Purpose: queues for people, the same as in snapshot: its counts, and from the row the pause, declarer, limit and defaults.
-- Counts stop at p_cap. paused is in seconds. limit_in_flight is NULL while a limit is being counted.
-- Index: as snapshot. Locks: none.
CREATE OR REPLACE FUNCTION penstock.list_queues(p_cap integer)
RETURNS TABLE (name text, declared_by text, paused double precision, paused_by text, ready bigint, capped boolean,
               deferred bigint, in_flight bigint, dead bigint, oldest double precision, workers integer, slots bigint,
               max_in_flight integer, limit_in_flight integer, max_attempts smallint, retention double precision,
               job_deadline double precision)
LANGUAGE sql STABLE AS $$
  SELECT s.name, q.declared_by, extract(epoch FROM clock_timestamp() - q.paused_at)::double precision, q.paused_by, s.ready,
         s.capped, s.deferred, s.in_flight, s.dead, s.oldest, w.live, w.slots, l.max_in_flight, l.in_flight, q.max_attempts,
         extract(epoch FROM q.retention)::double precision, extract(epoch FROM q.job_deadline)::double precision
  FROM penstock.snapshot(p_cap, 15) AS s
  JOIN penstock.queue AS q ON q.id = s.queue
  LEFT JOIN penstock.queue_limit AS l ON l.queue = s.queue
  CROSS JOIN LATERAL (
    SELECT count(*)::integer AS live, coalesce(sum(a.concurrency), 0) AS slots
    FROM penstock.worker AS a
    WHERE s.queue = ANY (a.queues) AND a.state = 'running' AND a.lease_until > clock_timestamp()) AS w
  ORDER BY s.name
$$;
