-- Purpose: the part of claim that counts what it claimed, after limit_room, which has locked the row.
-- Index: queue_limit's key, backwards. Locks: none more.
CREATE OR REPLACE FUNCTION penstock.limit_take(p_queue integer, p_jobs integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE penstock.queue_limit AS l SET in_flight = l.in_flight + p_jobs, seq = l.seq + 1
  WHERE p_jobs > 0 AND l.queue = p_queue AND l.seq = (
    SELECT x.seq FROM penstock.queue_limit AS x WHERE x.queue = p_queue ORDER BY x.queue DESC, x.seq DESC LIMIT 1);
END $$;
