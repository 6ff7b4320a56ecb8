-- Purpose: the 95th percentile of the wait from ready to claimed, by queue, of attempts that ended within p_seconds. Reads only
-- the last p_blocks blocks of the day's outcomes, at the same cost whatever the day holds. Partitions only grow until they are
-- dropped: their last blocks are the newest rows.
-- Index: none, a range of row addresses. Locks: none.
CREATE OR REPLACE FUNCTION penstock.recent_waits(p_seconds double precision, p_blocks integer)
RETURNS TABLE (queue integer, attempts bigint, p95 double precision)
LANGUAGE plpgsql STABLE SET jit = off AS $$
DECLARE
  v_day regclass := to_regclass('penstock.outcome_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD'));
BEGIN
  IF v_day IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE format(
    'SELECT o.queue, count(*),
            percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM o.claimed_at - o.ready_at)::double precision)
     FROM %s AS o
     WHERE o.ctid >= $1 AND o.finished_at > clock_timestamp() - make_interval(secs => $2)
       AND o.claimed_at IS NOT NULL AND o.ready_at IS NOT NULL
     GROUP BY o.queue', v_day)
    USING format('(%s,0)', greatest(0, pg_relation_size(v_day) / current_setting('block_size')::bigint - p_blocks))::tid,
          p_seconds;
END $$;
