-- Purpose: the part of ack that defers jobs. A retry keeps its error in the row (the last five) and writes an outcome; a snooze
-- refunds the attempt and writes none. An error with the key "crash" means that the attempt's process crashed. Rows flagged
-- cancel are left to ack_ended. A job whose arguments a worker refused keeps the time of the first refusal, and its error,
-- until an attempt runs. Returns the ids and tokens of the snoozed jobs.
-- Index: job's key. Locks: the rows, in id order. A delay is in seconds.
CREATE OR REPLACE FUNCTION penstock.ack_deferred(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[],
  p_delays double precision[], p_reasons text[], p_errors jsonb[], OUT snoozed bigint[], OUT tokens bigint[]
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_queues integer[];
BEGIN
  WITH deferred AS (
    SELECT j.id, j.token, j.claimed_at, j.ready_at, a.state, a.duration, a.delay, a.reason, a.error
    FROM (SELECT * FROM unnest(p_ids, p_tokens, p_states, p_durations, p_delays, p_reasons, p_errors)
            AS u (id, token, state, duration, delay, reason, error)
          WHERE u.state IN ('retry', 'snooze') ORDER BY u.id) AS a
    JOIN penstock.job AS j ON j.id = a.id AND j.token = a.token AND j.worker = p_worker AND NOT j.cancel
    ORDER BY a.id FOR UPDATE OF j
  ), moved AS (
    UPDATE penstock.job AS j
    SET ord = NULL, token = NULL, worker = NULL, claimed_at = NULL, deadline = NULL, ready_at = NULL,
        due_at = v_now + make_interval(secs => coalesce(h.delay, 0)), reason = coalesce(h.reason, h.state),
        attempt = j.attempt - CASE WHEN h.state = 'snooze' THEN 1 ELSE 0 END, unique_kept = NULL,
        crashes = j.crashes + CASE WHEN h.error ? 'crash' THEN 1 ELSE 0 END,
        incompatible_since = CASE WHEN h.state = 'snooze' AND h.reason = 'incompatible_arguments'
          THEN coalesce(j.incompatible_since, v_now) WHEN h.state = 'snooze' AND coalesce(h.duration, 0) = 0 THEN j.incompatible_since END,
        errors = CASE WHEN h.error IS NULL OR h.state = 'snooze' AND j.incompatible_since IS NOT NULL THEN j.errors ELSE
          jsonb_path_query_array(coalesce(j.errors, '[]') || h.error, '$[last-4 to last]') END
    FROM deferred AS h WHERE j.id = h.id AND j.token = h.token AND j.worker = p_worker
    RETURNING j.id, h.token, h.claimed_at, h.ready_at, h.state, h.duration, h.reason, h.error, j.created_at, j.queue,
              j.attempt, j.max_attempts, j.crashes, j.priority, j.task
  ), kept AS (
    INSERT INTO penstock.outcome (job_id, token, worker, created_at, ready_at, claimed_at, finished_at, duration, queue,
        attempt, max_attempts, crashes, priority, final, state, reason, task, error)
    SELECT m.id, m.token, p_worker, m.created_at, m.ready_at, m.claimed_at, v_now, m.duration, m.queue, m.attempt,
           m.max_attempts, m.crashes, m.priority, false, 'retry', m.reason, m.task, m.error
    FROM moved AS m WHERE m.state = 'retry'
  )
  SELECT array_agg(m.id) FILTER (WHERE m.state = 'snooze'), array_agg(m.token) FILTER (WHERE m.state = 'snooze'),
         array_agg(m.queue) INTO snoozed, tokens, v_queues FROM moved AS m;
  PERFORM penstock.limit_give_back(v_queues);
END $$;
