-- Purpose: the part of prune_queues that finds which of the slots' queues are idle: undeclared, without jobs, dead letters,
-- workers, limit, pause or settings, and not used by an enqueue since they were marked idle.
-- Index: queue_slot's key; job_pick, job_due, dead_queue, one probe each; none for worker, which is small. Locks: none.
CREATE OR REPLACE FUNCTION penstock.idle_queues(p_slots integer[]) RETURNS integer[] LANGUAGE sql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
  SELECT coalesce(array_agg(q.id), '{}') FROM penstock.queue_slot AS s JOIN penstock.queue AS q ON q.id = s.queue
  WHERE s.slot = ANY (p_slots) AND q.declared_by IS NULL AND q.paused_at IS NULL AND q.keep_body
    AND coalesce(s.used_at, '-infinity') <= coalesce(q.idle_since, 'infinity')
    AND NOT EXISTS (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.ord IS NOT NULL)
    AND NOT EXISTS (SELECT FROM penstock.job AS j WHERE j.queue = q.id AND j.due_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM penstock.dead AS d WHERE d.queue = q.id)
    AND NOT EXISTS (SELECT FROM penstock.queue_limit AS l WHERE l.queue = q.id)
    AND NOT EXISTS (SELECT FROM penstock.worker AS w WHERE q.id = ANY (w.queues))
$$;
