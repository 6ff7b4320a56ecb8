-- Purpose: the dead letters of the last hour that a rescue made, each reported once: to the first caller, who reports them to
-- people. What is known of the job's worker becomes their forensics, which also marks them as reported. The name stays, because
-- workers of the adjacent release call it.
-- Index: dead_queue, worker's key. Locks: the dead letters' rows, skip locked: two concurrent callers share them.
CREATE OR REPLACE FUNCTION penstock.tell_dead(p_holder text, p_limit integer)
RETURNS TABLE (id bigint, queue text, task text, reason text, attempt smallint, error text, message text)
LANGUAGE sql
SET jit = off
AS $$
  WITH unreported AS (
    SELECT d.id, q.name FROM penstock.queue AS q JOIN penstock.dead AS d ON d.queue = q.id
    WHERE d.died_at > clock_timestamp() - interval '1 hour' AND d.forensics IS NULL
    ORDER BY d.id LIMIT p_limit FOR UPDATE OF d SKIP LOCKED
  )
  UPDATE penstock.dead AS d
  SET forensics = jsonb_build_object('made_by', 'rescue', 'rescued_by', p_holder, 'worker', (
    SELECT jsonb_build_object('id', w.id, 'identity', w.identity, 'pod', w.pod, 'node', w.node, 'version', w.version,
      'state', w.state, 'started_at', w.started_at, 'renewed_at', w.renewed_at, 'in_flight', w.in_flight,
      'report', w.report)
    FROM penstock.worker AS w WHERE w.id = d.worker))
  FROM unreported AS u WHERE d.id = u.id
  RETURNING d.id, u.name, d.task, d.reason, d.attempt, d.error ->> 'type', d.error ->> 'message'
$$;
