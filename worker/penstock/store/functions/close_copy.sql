-- Purpose: complete what open_copy started: returns the ids that the table drew for the p_jobs lines of a COPY, in order, and wakes
-- waiters of p_queues. Ids in between belong to other transactions; rows that are visible here and not committed are ours.
-- Index: job's key, from p_after on. Locks: none.
CREATE OR REPLACE FUNCTION penstock.close_copy(p_after bigint, p_jobs integer, p_queues integer[]) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
  c_all CONSTANT bigint := 4294967296;  -- xmin is the lower half of a transaction id, near ours
  v_now bigint := pg_current_xact_id()::text::bigint;
  v_ours xid[];
  v_ids bigint[];
BEGIN
  SELECT array_agg(x.xmin) INTO v_ours
  FROM (SELECT j.xmin, j.xmin::text::bigint - v_now AS far FROM penstock.job AS j WHERE j.id > p_after GROUP BY j.xmin) AS x
  WHERE pg_xact_status((v_now + ((x.far % c_all) + c_all + c_all / 2) % c_all - c_all / 2)::text::xid8) = 'in progress';
  v_ids := ARRAY(SELECT j.id FROM penstock.job AS j WHERE j.id > p_after AND j.xmin = ANY (v_ours) ORDER BY j.id);
  IF cardinality(v_ids) <> p_jobs THEN
    RAISE EXCEPTION 'close_copy: % jobs were announced, found %', p_jobs, cardinality(v_ids) USING ERRCODE = '22023';
  END IF;
  PERFORM penstock.wake(p_queues);
  RETURN v_ids;
END $$;
