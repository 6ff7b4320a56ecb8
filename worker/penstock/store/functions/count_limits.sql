-- Purpose: count the running jobs of limits that were turned on, once every transaction is over that may not have seen them
-- turned on. The first call that sees a limit gives it a horizon: its own transaction id, so it must be a transaction of its
-- own; a later call counts it when nothing up to there is open. What transactional acknowledgements returned until then is
-- dropped: their jobs are not among those counted. Returns how many limits still wait.
-- Index: job_pick, a scan of the queue's ready range. Locks: the limits' rows, in id order: acknowledgements in flight are
-- waited for, later ones wait and then subtract from the count.
CREATE OR REPLACE FUNCTION penstock.count_limits() RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
  v_limit record;
BEGIN
  FOR v_limit IN
    SELECT l.queue, l.horizon FROM penstock.queue_limit AS l
    WHERE l.in_flight IS NULL
      AND (l.horizon IS NULL OR l.horizon < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
           OR l.horizon >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)  -- of another cluster: a copy
    ORDER BY l.queue FOR UPDATE
  LOOP
    IF v_limit.horizon IS NULL OR v_limit.horizon >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
      UPDATE penstock.queue_limit AS l SET horizon = pg_current_xact_id()::text::bigint WHERE l.queue = v_limit.queue;
      CONTINUE;
    END IF;
    WITH dropped AS (DELETE FROM penstock.limit_return AS r WHERE r.queue = v_limit.queue)
    UPDATE penstock.queue_limit AS l SET in_flight = (
      SELECT count(*) FROM penstock.job AS j WHERE j.queue = v_limit.queue AND j.ord IS NOT NULL AND j.token IS NOT NULL)
    WHERE l.queue = v_limit.queue;
    PERFORM penstock.wake(ARRAY[v_limit.queue]);
  END LOOP;
  RETURN (SELECT count(*) FROM penstock.queue_limit AS l WHERE l.in_flight IS NULL);
END $$;
