-- Purpose: after a claim whose reply did not arrive: release what that call's token claimed, attempts refunded. The lock on the
-- worker's row waits for a claim that a lost connection left running; one that has not even started, because it is still in a
-- buffer, finds its token revoked and is refused (the last hundred are kept). Returns how many were released.
-- Index: job_pick, a scan of the queue's ready range. Locks: the worker's row; then the rows, in id order, by release.
CREATE OR REPLACE FUNCTION penstock.release_claim(p_worker bigint, p_queue integer, p_token bigint) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
  v_ids bigint[];
  v_tokens bigint[];
BEGIN
  PERFORM FROM penstock.worker AS w WHERE w.id = p_worker FOR UPDATE;
  UPDATE penstock.worker AS w SET revoked = (w.revoked || p_token)[greatest(cardinality(w.revoked) - 98, 1):]
    WHERE w.id = p_worker AND p_token IS NOT NULL AND NOT p_token = ANY (w.revoked);
  SELECT array_agg(j.id ORDER BY j.id), array_agg(j.token) INTO v_ids, v_tokens FROM penstock.job AS j
  WHERE j.queue = p_queue AND j.ord IS NOT NULL AND j.token = p_token AND j.worker = p_worker;
  IF v_ids IS NULL THEN
    RETURN 0;
  END IF;
  RETURN penstock.release(p_worker, v_ids, v_tokens);
END $$;
