-- Purpose: the dead letters that match a filter; NULL matches all. p_contains is searched in reason and type of the last error,
-- ignoring case, and in its message if the caller may read penstock.jobs: only then is the message returned. In id order after
-- p_after, or the newest first.
-- Index: dead's key or dead_queue. Locks: none.
CREATE OR REPLACE FUNCTION penstock.find_dead(
  p_ids bigint[], p_queue text, p_task text, p_reason text, p_contains text, p_since timestamptz, p_before timestamptz,
  p_after bigint, p_newest boolean, p_limit integer
) RETURNS TABLE (id bigint, queue text, task text, reason text, attempt smallint, max_attempts smallint, crashes smallint,
                 created_at timestamptz, died_at timestamptz, error text, message text)
LANGUAGE sql STABLE
SET jit = off
AS $$
  SELECT d.id, q.name, d.task, d.reason, d.attempt, d.max_attempts, d.crashes, d.created_at, d.died_at,
         d.error ->> 'type', CASE WHEN f.everything THEN d.error ->> 'message' END
  FROM (SELECT has_table_privilege(session_user, 'penstock.jobs', 'SELECT') AS everything) AS f
  CROSS JOIN penstock.dead AS d JOIN penstock.queue AS q ON q.id = d.queue
  WHERE (p_ids IS NULL OR d.id = ANY (p_ids)) AND (p_queue IS NULL OR q.name = p_queue)
    AND (p_task IS NULL OR d.task = p_task) AND (p_reason IS NULL OR d.reason = p_reason)
    AND (p_contains IS NULL OR strpos(lower(concat_ws(' ', d.reason, d.error ->> 'type',
      CASE WHEN f.everything THEN d.error ->> 'message' END)), lower(p_contains)) > 0)
    AND (p_since IS NULL OR d.died_at >= p_since) AND (p_before IS NULL OR d.died_at < p_before)
    AND (p_after IS NULL OR d.id > p_after)
  ORDER BY CASE WHEN p_newest THEN d.died_at END DESC, d.id
  LIMIT p_limit
$$;
