-- Purpose: declared schedules for people and for the autoscaler, without their arguments; p_queues NULL: of all queues. late is
-- in seconds: since the tick by which an earlier one should have succeeded, or since a tick that nobody fired for a minute;
-- NULL: not late, paused, or no tick yet. waiting: ticks that wait for an earlier job; busy: a job of a tick is live. now is the
-- database's clock. Index: schedule(queue, name); schedule_tick_open; job's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.list_schedules(p_queues text[] DEFAULT NULL)
RETURNS TABLE (id bigint, queue text, name text, source text, generation bigint, spec text, zone text, starts_at timestamptz,
               ends_at timestamptz, jitter integer, lead_seconds integer, task text, missed text, missed_limit integer, overlap text,
               paused boolean, suspended boolean, paused_at timestamptz, paused_by text, next_at timestamptz, last_tick timestamptz,
               last_job bigint, fired bigint, last_success_at timestamptz, late double precision, last_error text, waiting bigint,
               busy boolean, now timestamptz)
LANGUAGE sql STABLE AS $$
  SELECT s.id, s.queue, s.name, s.source, s.generation, s.spec, s.zone, s.starts_at, s.ends_at, s.jitter, s.lead, s.task, s.missed,
         s.missed_limit, s.overlap, s.paused_at IS NOT NULL OR s.suspended, s.suspended, s.paused_at, s.paused_by, s.next_at, s.last_tick, s.last_job,
         s.fired, s.last_success_at, extract(epoch FROM CASE WHEN s.paused_at IS NOT NULL OR s.suspended THEN NULL ELSE greatest(
           CASE WHEN s.expected_by < c.now THEN c.now - s.expected_by END,
           CASE WHEN s.next_at < c.now - interval '1 minute' THEN c.now - s.next_at END) END)::double precision,
         s.last_error, (SELECT count(*) FROM penstock.schedule_tick AS t WHERE t.schedule = s.id AND t.state = 'waiting'),
         penstock.schedule_busy(s.id), c.now
  FROM penstock.schedule AS s, (SELECT clock_timestamp() AS now) AS c
  WHERE s.removed_at IS NULL AND (p_queues IS NULL OR s.queue = ANY (p_queues)) ORDER BY s.queue, s.name
$$;
