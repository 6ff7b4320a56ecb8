-- Purpose: release unstarted claims: the attempt is refunded, a fresh ord places the job last in its priority, and ready_at
-- stays, which keeps its wait measurable. A row flagged cancel ends instead. A key that was released at the start is retaken if
-- it is free. Returns how many were released.
-- Index: job's key. Locks: the rows, in id order, each waited for at most one second (55P03: nothing is written).
CREATE OR REPLACE FUNCTION penstock.release(p_worker bigint, p_ids bigint[], p_tokens bigint[]) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET lock_timeout = '1s'
AS $$
DECLARE
  v_queues integer[];
  v_back integer;
  v_keyed bigint[];
  v_id bigint;
BEGIN
  IF cardinality(p_ids) IS DISTINCT FROM cardinality(p_tokens) THEN
    RAISE EXCEPTION 'release: there must be as many tokens as ids (%), got %', cardinality(p_ids), cardinality(p_tokens)
      USING ERRCODE = '22023';
  END IF;
  PERFORM pg_current_xact_id();  -- before any ord is drawn
  PERFORM FROM penstock.job AS j WHERE j.id = ANY (p_ids) ORDER BY j.id FOR UPDATE;
  PERFORM penstock.ensure_partition(), penstock.ack_ended(p_worker, f.ids, f.tokens, f.states, NULL, NULL, NULL, NULL, NULL)
  FROM (SELECT array_agg(j.id) AS ids, array_agg(j.token) AS tokens, array_agg('cancelled'::text) AS states
        FROM unnest(p_ids, p_tokens) AS a (id, token)
        JOIN penstock.job AS j ON j.id = a.id AND j.token = a.token AND j.worker = p_worker AND j.cancel) AS f
  WHERE f.ids IS NOT NULL;
  WITH back AS (
    UPDATE penstock.job AS j
    SET token = NULL, worker = NULL, claimed_at = NULL, deadline = NULL, attempt = j.attempt - 1,
        ord = nextval('penstock.job_ord_seq'), unique_kept = CASE WHEN j.unique_key IS NULL THEN j.unique_kept END
    FROM (SELECT * FROM unnest(p_ids, p_tokens) AS u (id, token) ORDER BY u.id) AS a
    WHERE j.id = a.id AND j.token = a.token AND j.worker = p_worker
    RETURNING j.queue, j.id, j.unique_kept
  )
  SELECT array_agg(queue), count(*), array_agg(id ORDER BY unique_kept) FILTER (WHERE unique_kept IS NOT NULL)
  INTO v_queues, v_back, v_keyed FROM back;
  FOREACH v_id IN ARRAY coalesce(v_keyed, '{}') LOOP
    PERFORM penstock.retake_key(v_id);
  END LOOP;
  PERFORM penstock.limit_give_back(v_queues);
  PERFORM penstock.wake(ARRAY(SELECT DISTINCT unnest(v_queues)));
  RETURN v_back;
END $$;
