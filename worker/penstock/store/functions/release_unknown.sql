-- Purpose: after the server came back with fewer commits than its worker had seen (a failover, a restored backup): release the
-- claims that the database has for the worker and the worker does not have. The outcomes of those attempts are lost: the jobs
-- run again, attempts refunded. p_ids and p_tokens: all that the worker has, while no claim of it is in flight. Returns how
-- many were released.
-- Index: job_pick, a scan of the queue's ready range. Locks: the worker's row; then the rows, in id order, by release.
CREATE OR REPLACE FUNCTION penstock.release_unknown(p_worker bigint, p_queue integer, p_ids bigint[], p_tokens bigint[])
RETURNS integer
LANGUAGE plpgsql STRICT
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
  IF cardinality(p_ids) <> cardinality(p_tokens) THEN
    RAISE EXCEPTION 'release_unknown: there must be as many tokens as ids (%), got %', cardinality(p_ids), cardinality(p_tokens)
      USING ERRCODE = '22023';
  END IF;
  PERFORM FROM penstock.worker AS w WHERE w.id = p_worker FOR UPDATE;
  SELECT array_agg(j.id ORDER BY j.id), array_agg(j.token ORDER BY j.id) INTO v_ids, v_tokens FROM penstock.job AS j
  WHERE j.queue = p_queue AND j.ord IS NOT NULL AND j.token IS NOT NULL AND j.worker = p_worker
    AND NOT EXISTS (SELECT FROM unnest(p_ids, p_tokens) AS a (id, token) WHERE a.id = j.id AND a.token = j.token);
  RETURN CASE WHEN v_ids IS NULL THEN 0 ELSE penstock.release(p_worker, v_ids, v_tokens) END;
END $$;
