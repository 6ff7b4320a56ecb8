-- Purpose: jobs for people, newest first: those in p_states that match every other filter (NULL: any). p_error is searched in
-- reason and type, and in the message if the caller may read penstock.jobs: only then is it returned. p_since applies to the
-- last known change of a row: when it finished, or its creation. p_before: ids below, for the next page.
-- Index: job's key, dead's key, outcome_job, backwards until p_limit rows are found. Locks: none.
CREATE OR REPLACE FUNCTION penstock.list_jobs(
  p_states text[], p_queue text, p_task text, p_error text, p_since timestamptz, p_before bigint, p_limit integer
) RETURNS TABLE (id bigint, state text, queue text, task text, priority smallint, attempt smallint, max_attempts smallint,
                 crashes smallint, created_at timestamptz, ready_at timestamptz, due_at timestamptz,
                 claimed_at timestamptz, finished_at timestamptz, worker bigint, reason text, error text, message text)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  v_queue integer := (SELECT q.id FROM penstock.queue AS q WHERE q.name = p_queue);
  v_before bigint := coalesce(p_before, 9223372036854775807);
  v_error text := lower(p_error);
  v_full boolean := has_table_privilege(session_user, 'penstock.jobs', 'SELECT');
BEGIN
  RETURN QUERY SELECT f.id, f.state, q.name, f.task, f.priority, f.attempt, f.max_attempts, f.crashes, f.created_at,
    f.ready_at, f.due_at, f.claimed_at, f.finished_at, f.worker, f.reason, f.error ->> 'type',
    CASE WHEN v_full THEN f.error ->> 'message' END
  FROM (
    (SELECT j.id, s.state, j.queue, j.task, j.priority, j.attempt, j.max_attempts, j.crashes, j.created_at, j.ready_at,
            j.due_at, j.claimed_at, NULL::timestamptz AS finished_at, j.worker, j.reason, j.errors -> -1 AS error
     FROM penstock.job AS j, LATERAL (SELECT CASE WHEN j.token IS NOT NULL THEN 'running' WHEN j.ord IS NOT NULL
       THEN 'queued' ELSE 'scheduled' END AS state) AS s
     WHERE p_states && '{scheduled,queued,running}' AND j.id < v_before AND s.state = ANY (p_states)  -- once, in the first batch
       AND (p_queue IS NULL OR j.queue = v_queue) AND (p_task IS NULL OR j.task = p_task)
       AND (p_since IS NULL OR j.created_at >= p_since)
       AND (v_error IS NULL OR position(v_error IN lower(concat_ws(' ', j.reason, j.errors -> -1 ->> 'type',
         CASE WHEN v_full THEN j.errors -> -1 ->> 'message' END))) > 0)
     ORDER BY j.id DESC LIMIT p_limit)
    UNION ALL
    (SELECT d.id, 'dead', d.queue, d.task, d.priority, d.attempt, d.max_attempts, d.crashes, d.created_at, NULL, NULL, NULL,
            d.died_at, d.worker, d.reason, d.error
     FROM penstock.dead AS d
     WHERE d.id < v_before AND 'dead' = ANY (p_states) AND (p_queue IS NULL OR d.queue = v_queue)
       AND (p_task IS NULL OR d.task = p_task) AND (p_since IS NULL OR d.died_at >= p_since)
       AND (v_error IS NULL OR position(v_error IN lower(concat_ws(' ', d.reason, d.error ->> 'type',
         CASE WHEN v_full THEN d.error ->> 'message' END))) > 0)
     ORDER BY d.id DESC LIMIT p_limit)
    UNION ALL
    (SELECT o.job_id, o.state, o.queue, o.task, o.priority, o.attempt, o.max_attempts, o.crashes, o.created_at, o.ready_at,
            NULL, o.claimed_at, o.finished_at, o.worker, o.reason, o.error
     FROM penstock.outcome AS o
     WHERE p_states && '{completed,cancelled}' AND o.job_id < v_before AND o.final AND o.state IN ('completed', 'cancelled')
       AND o.state = ANY (p_states) AND (p_queue IS NULL OR o.queue = v_queue) AND (p_task IS NULL OR o.task = p_task)
       AND (p_since IS NULL OR o.finished_at >= p_since) AND o.finished_at > clock_timestamp()
         - (SELECT q.retention FROM penstock.queue AS q WHERE q.id = o.queue)
       AND (v_error IS NULL OR position(v_error IN lower(concat_ws(' ', o.reason, o.error ->> 'type',
         CASE WHEN v_full THEN o.error ->> 'message' END))) > 0)
     ORDER BY o.job_id DESC LIMIT p_limit)
  ) AS f JOIN penstock.queue AS q ON q.id = f.queue ORDER BY f.id DESC LIMIT p_limit;
END $$;
