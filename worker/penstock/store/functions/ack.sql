-- Purpose: accept a mixed batch of outcomes in one call. Touches only rows that still carry the attempt's token and worker.
-- Returns each difference from what was sent: state NULL means fenced; another state is the stored one (accepted earlier, ended
-- as cancelled, or failed by end_incompatible.sql). A repeated snooze reads as fenced: harmless.
-- Index: job's key, outcome_job. Locks: the jobs' rows in id order, each waited for at most one second (55P03: nothing is
-- written; ack_unlocked then accepts the others); a batch with deferrals locks first. A NULL array means the default for all.
CREATE OR REPLACE FUNCTION penstock.ack(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[] DEFAULT NULL,
  p_durations double precision[] DEFAULT NULL, p_delays double precision[] DEFAULT NULL, p_reasons text[] DEFAULT NULL,
  p_errors jsonb[] DEFAULT NULL, p_results jsonb[] DEFAULT NULL, p_forensics jsonb[] DEFAULT NULL
) RETURNS TABLE (id bigint, token bigint, state text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  v_accepted integer; v_sent text[] := p_states;
  v_snoozed bigint[] := '{}'; v_snoozed_tokens bigint[] := '{}';
BEGIN
  IF cardinality(p_ids) <> ANY (ARRAY[cardinality(p_tokens), cardinality(p_states), cardinality(p_durations),
      cardinality(p_delays), cardinality(p_reasons), cardinality(p_errors), cardinality(p_results), cardinality(p_forensics)])
  THEN  -- a missing state would read as completed
    RAISE EXCEPTION 'ack: every array must have as many elements as ids (%)', cardinality(p_ids) USING ERRCODE = '22023';
  END IF;
  IF 'incompatible_arguments' = ANY (p_reasons) THEN
    SELECT * INTO p_states, p_reasons
    FROM penstock.end_incompatible(p_worker, p_ids, p_tokens, p_states, p_reasons, p_errors);
  END IF;
  IF to_regclass('penstock.outcome_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
    PERFORM penstock.make_partitions(1);  -- a cheaper ensure_partition; one that is detached is the caller's error
  END IF;
  IF p_states && ARRAY['retry', 'snooze'] THEN
    PERFORM FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE;
    SELECT * INTO v_snoozed, v_snoozed_tokens
    FROM penstock.ack_deferred(p_worker, p_ids, p_tokens, p_states, p_durations, p_delays, p_reasons, p_errors);
  END IF;
  IF p_states IS NULL AND p_reasons IS NULL AND p_errors IS NULL THEN
    v_accepted := penstock.ack_completed(p_worker, p_ids, p_tokens, p_durations, p_results);
  ELSE
    v_accepted := penstock.ack_ended(p_worker, p_ids, p_tokens, p_states, p_durations, p_reasons, p_errors, p_results,
                                     p_forensics);
  END IF;
  IF v_accepted = cardinality(p_ids) AND p_states IS NOT DISTINCT FROM v_sent THEN
    RETURN;
  END IF;
  -- A separate snapshot: the one above cannot see an acknowledgement that was being committed meanwhile.
  RETURN QUERY
    SELECT a.id, a.token, o.state
    FROM unnest(p_ids, p_tokens, v_sent) AS a (id, token, state)
    LEFT JOIN penstock.outcome AS o ON o.job_id = a.id AND o.token = a.token
    WHERE o.state IS DISTINCT FROM coalesce(a.state, 'completed')
      AND NOT (coalesce(a.state, 'completed') = 'snooze' AND (a.id, a.token) IN (
        SELECT s.id, s.token FROM unnest(v_snoozed, v_snoozed_tokens) AS s (id, token)));
END $$;
