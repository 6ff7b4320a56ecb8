-- Purpose: count the running jobs of limits that were turned on, once every transaction is over that may not have seen them
-- turned on: p_horizon is an id taken after their commit. Returns how many limits still wait for that.
-- Index: job_pick, a scan of the queue's ready range. Locks: the limits' rows, in id order: acknowledgements in flight are
-- waited for, later ones wait and then subtract from the count.
CREATE OR REPLACE FUNCTION penstock.count_limits(p_horizon bigint) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
  v_queue integer;
BEGIN
  IF pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= p_horizon THEN
    RETURN (SELECT count(*) FROM penstock.queue_limit AS l WHERE l.in_flight IS NULL);
  END IF;
  FOR v_queue IN SELECT l.queue FROM penstock.queue_limit AS l WHERE l.in_flight IS NULL ORDER BY l.queue FOR UPDATE LOOP
    UPDATE penstock.queue_limit AS l SET in_flight = (
      SELECT count(*) FROM penstock.job AS j WHERE j.queue = v_queue AND j.ord IS NOT NULL AND j.token IS NOT NULL)
    WHERE l.queue = v_queue;
    PERFORM penstock.wake(ARRAY[v_queue]);
  END LOOP;
  RETURN 0;
END $$;
