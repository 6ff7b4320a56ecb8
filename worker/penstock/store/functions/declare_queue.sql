-- Purpose: mirror a JobQueue's settings into the queue's row. An older generation of the same declarer changes nothing. A pause
-- by a login (see pause) stays: a restart of the declarer must not overrule an operator during an incident. Refused (55P03)
-- when another transaction that made this queue does not commit within 250 ms: a login that may enqueue must not block the
-- declarer for longer. Returns the queue's id.
-- Index: queue(name). Locks: the queue's row.
CREATE OR REPLACE FUNCTION penstock.declare_queue(
  p_name text, p_declared_by text, p_generation bigint, p_paused boolean, p_max_attempts smallint, p_retry jsonb,
  p_job_deadline double precision, p_retention double precision, p_settings jsonb
) RETURNS integer LANGUAGE sql SET lock_timeout = '250ms' AS $$
  INSERT INTO penstock.queue AS q (name, declared_by, generation, paused_at, paused_by, max_attempts, retry,
                                   job_deadline, retention, settings)
  VALUES (p_name, p_declared_by, p_generation, CASE WHEN p_paused THEN clock_timestamp() END,
          CASE WHEN p_paused THEN p_declared_by END, p_max_attempts, p_retry,
          make_interval(secs => p_job_deadline), make_interval(secs => p_retention), p_settings)
  ON CONFLICT (name) DO UPDATE
    SET declared_by = excluded.declared_by, generation = excluded.generation,
        paused_at = CASE WHEN p_paused OR q.paused_by <> coalesce(q.declared_by, '')
                         THEN coalesce(q.paused_at, excluded.paused_at) END,
        paused_by = CASE WHEN q.paused_by <> coalesce(q.declared_by, '') THEN q.paused_by ELSE excluded.paused_by END,
        max_attempts = excluded.max_attempts, retry = excluded.retry, job_deadline = excluded.job_deadline,
        retention = excluded.retention, settings = excluded.settings, idle_since = NULL, idle_horizon = NULL
    WHERE q.declared_by IS DISTINCT FROM excluded.declared_by OR q.generation <= excluded.generation;
  SELECT q.id FROM penstock.queue AS q WHERE q.name = p_name
$$;
