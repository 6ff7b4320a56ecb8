-- Purpose: delete the rows of ticks that ended more than a day ago, p_limit at most: last_tick keeps them from being fired again.
-- Returns how many.
-- Index: schedule_tick_decided. Locks: the rows, skip locked.
CREATE OR REPLACE FUNCTION penstock.prune_ticks(p_limit integer) RETURNS integer LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_pruned integer;
BEGIN
  DELETE FROM penstock.schedule_tick AS t WHERE t.ctid = ANY (ARRAY(
    SELECT x.ctid FROM penstock.schedule_tick AS x
    WHERE x.decided_at < clock_timestamp() - interval '1 day' AND x.state NOT IN ('due', 'waiting', 'enqueued')
    ORDER BY x.decided_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_pruned = ROW_COUNT;
  RETURN v_pruned;
END $$;
