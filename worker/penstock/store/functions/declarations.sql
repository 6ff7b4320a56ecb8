-- Purpose: the latest declaration of every queue, for a declarer of many to skip those that are up to date. Durations are in
-- seconds. max_in_flight is NULL for a queue without a limit.
-- Index: queue_declared: undeclared queues cost nothing. Locks: none.
CREATE OR REPLACE FUNCTION penstock.declarations()
RETURNS TABLE (name text, declared_by text, generation bigint, paused boolean, paused_by text, max_attempts smallint,
               max_in_flight integer, retry jsonb, job_deadline double precision, retention double precision, settings jsonb)
LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
  SELECT q.name, q.declared_by, q.generation, q.paused_at IS NOT NULL, q.paused_by, q.max_attempts, l.max_in_flight, q.retry,
         extract(epoch FROM q.job_deadline)::double precision, extract(epoch FROM q.retention)::double precision, q.settings
  FROM penstock.queue AS q LEFT JOIN penstock.queue_limit AS l ON l.queue = q.id
  WHERE q.declared_by IS NOT NULL
$$;
