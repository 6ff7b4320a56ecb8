-- Purpose: release for claims of which release found a row locked: skips rows that other transactions have locked, to be
-- released later; releases the others. Returns how many were released, and the ids that were skipped.
-- Index: job's key. Locks: the rows that are free, in id order; then as release.
CREATE OR REPLACE FUNCTION penstock.release_unlocked(
  p_worker bigint, p_ids bigint[], p_tokens bigint[], OUT released integer, OUT locked bigint[]
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET lock_timeout = '1s'
AS $$
DECLARE
  v_free bigint[] := ARRAY(SELECT j.id FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE SKIP LOCKED);
  v_ids bigint[];
  v_tokens bigint[];
BEGIN
  locked := ARRAY(SELECT j.id FROM penstock.job AS j WHERE j.id = ANY (p_ids) AND NOT j.id = ANY (v_free));
  SELECT array_agg(a.id), array_agg(a.token) INTO v_ids, v_tokens
  FROM unnest(p_ids, p_tokens) AS a (id, token) WHERE NOT a.id = ANY (locked);
  released := CASE WHEN v_ids IS NULL THEN 0 ELSE penstock.release(p_worker, v_ids, v_tokens) END;
END $$;
