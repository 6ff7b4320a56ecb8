-- Purpose: ack for a batch in which ack found a locked row. Skips rows that other transactions have locked and returns them
-- with the state `locked`, to be sent again later; accepts the other outcomes.
-- Index: job's key. Locks: the rows that are free, in id order; then as ack.
CREATE OR REPLACE FUNCTION penstock.ack_unlocked(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[] DEFAULT NULL,
  p_durations double precision[] DEFAULT NULL, p_delays double precision[] DEFAULT NULL, p_reasons text[] DEFAULT NULL,
  p_errors jsonb[] DEFAULT NULL, p_results jsonb[] DEFAULT NULL, p_forensics jsonb[] DEFAULT NULL
) RETURNS TABLE (id bigint, token bigint, state text)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  v_free bigint[] := ARRAY(SELECT j.id FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE SKIP LOCKED);
  -- A separate statement: a row that was deleted meanwhile is gone, and ack finds its outcome.
  v_locked bigint[] := ARRAY(SELECT j.id FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND NOT j.id = ANY (v_free));
BEGIN
  RETURN QUERY SELECT d.id, d.token, d.state FROM (
    SELECT array_agg(a.id) AS ids, array_agg(a.token) AS tokens, array_agg(a.state) AS states, array_agg(a.duration) AS durations,
           array_agg(a.delay) AS delays, array_agg(a.reason) AS reasons, array_agg(a.error) AS errors,
           array_agg(a.result) AS results, array_agg(a.forensics) AS forensics
    FROM unnest(p_ids, p_tokens, p_states, p_durations, p_delays, p_reasons, p_errors, p_results, p_forensics)
      AS a (id, token, state, duration, delay, reason, error, result, forensics)
    WHERE NOT a.id = ANY (v_locked)) AS b,
    LATERAL penstock.ack(p_worker, b.ids, b.tokens, b.states, b.durations, b.delays, b.reasons, b.errors, b.results,
                         b.forensics) AS d
  WHERE b.ids IS NOT NULL;
  RETURN QUERY SELECT a.id, a.token, 'locked' FROM unnest(p_ids, p_tokens) AS a (id, token) WHERE a.id = ANY (v_locked);
END $$;
