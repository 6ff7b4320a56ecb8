-- Purpose: end the claim of an attempt whose outcome the database refuses in any form. The attempt counts: the job is deferred
-- by its queue's retry settings; after its last attempt, or flagged cancel, for ten years, because it must not run again and no
-- table accepts it. No outcome is written: a repeated acknowledgement is fenced. Returns the seconds until the job is due, or
-- NULL if the worker had lost the claim.
-- Index: job's key. Locks: the job's row, waited for at most one second; then as limit_give_back.
CREATE OR REPLACE FUNCTION penstock.end_refused(p_worker bigint, p_id bigint, p_token bigint, p_error jsonb)
RETURNS double precision LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET lock_timeout = '1s'
AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_queue integer;
  v_due timestamptz;
BEGIN
  UPDATE penstock.job AS j
  SET ord = NULL, token = NULL, worker = NULL, claimed_at = NULL, deadline = NULL, ready_at = NULL, unique_kept = NULL,
      reason = 'outcome_rejected',
      due_at = v_now + CASE WHEN j.cancel OR j.attempt >= j.max_attempts THEN interval '10 years' ELSE make_interval(
        secs => penstock.retry_delay((SELECT q.retry FROM penstock.queue AS q WHERE q.id = j.queue), j.attempt)) END,
      errors = jsonb_path_query_array(coalesce(j.errors, '[]') || p_error, '$[last-4 to last]')
  WHERE j.id = p_id AND j.token = p_token AND j.worker = p_worker RETURNING j.queue, j.due_at INTO v_queue, v_due;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM penstock.limit_give_back(ARRAY[v_queue]);
  RETURN extract(epoch FROM v_due - v_now);
END $$;
