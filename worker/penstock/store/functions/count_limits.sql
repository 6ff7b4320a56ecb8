-- Purpose: count the running jobs of limits that were turned on, once every claim has ended that may not have seen the limit: a
-- claim locks its worker's row until its commit and reads the limit after that. No other transaction is waited for. A job that
-- is being acknowledged counts as running, and its room returns when that commits; earlier returns are dropped, because their
-- jobs are not counted. A transaction that neither saw the limit nor had ended returns no room: the audit finds that. Returns
-- how many limits are still uncounted.
-- Index: job_pick, a scan of the queue's ready range. Locks: the rows of the queue's workers, in id order, and the limit's;
-- each is waited for at most 100 ms, then that limit is left to the next call.
CREATE OR REPLACE FUNCTION penstock.count_limits() RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off
SET lock_timeout = '100ms'
AS $$
DECLARE
  v_own CONSTANT text := (pg_current_xact_id_if_assigned()::text::bigint % 4294967296)::text;
  v_workers bigint[];
  v_queue integer;
  v_seq bigint;
BEGIN
  FOR v_queue IN SELECT l.queue FROM penstock.queue_limit AS l
    WHERE l.in_flight IS NULL AND l.xmin::text IS DISTINCT FROM v_own ORDER BY l.queue LOOP
    v_workers := ARRAY(SELECT w.id FROM penstock.worker AS w WHERE v_queue = ANY (w.queues));
    BEGIN
      PERFORM FROM penstock.worker AS w WHERE w.id = ANY (v_workers) ORDER BY w.id FOR UPDATE;
      SELECT l.seq INTO v_seq FROM penstock.queue_limit AS l WHERE l.queue = v_queue
      ORDER BY l.queue DESC, l.seq DESC LIMIT 1 FOR UPDATE;
      WITH dropped AS (DELETE FROM penstock.limit_return AS r WHERE r.queue = v_queue)
      UPDATE penstock.queue_limit AS l SET seq = l.seq + 1, folded = pg_current_snapshot(), in_flight = (
        SELECT count(*) FROM penstock.job AS j WHERE j.queue = v_queue AND j.ord IS NOT NULL AND j.token IS NOT NULL)
      WHERE l.queue = v_queue AND l.seq = v_seq AND l.in_flight IS NULL;
      PERFORM penstock.wake(ARRAY[v_queue]);
    EXCEPTION WHEN lock_not_available THEN
      NULL;
    END;
  END LOOP;
  RETURN (SELECT count(*) FROM penstock.queue_limit AS l WHERE l.in_flight IS NULL);
END $$;
