-- Purpose: announce that a worker (p_operator: an operator, for depth) is about to wait for work, for p_seconds from now.
-- Written only when the existing mark would expire in half that time: many waiters cost one write. Returns for how many seconds
-- from now every one of the queues is marked, once this is committed; from then on no enqueue misses the waiter.
-- Index: queue's key. Locks: the queues' rows, for this statement: a worker's is waited for at most 250 ms (55P03), the
-- operator's many are skipped while locked, and are not marked then.
CREATE OR REPLACE FUNCTION penstock.wait_mark(p_queues integer[], p_seconds double precision, p_operator boolean)
RETURNS double precision LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_until timestamptz := v_now + make_interval(secs => p_seconds);
  v_half timestamptz := v_now + make_interval(secs => p_seconds / 2);
BEGIN
  IF p_operator THEN
    UPDATE penstock.queue AS q SET operator_waiting_until = v_until WHERE q.id IN (
      SELECT x.id FROM penstock.queue AS x
      WHERE x.id = ANY (p_queues) AND coalesce(x.operator_waiting_until, '-infinity') < v_half
      ORDER BY x.id FOR NO KEY UPDATE SKIP LOCKED);
  ELSE
    UPDATE penstock.queue AS q SET workers_waiting_until = v_until
    WHERE q.id = ANY (p_queues) AND coalesce(q.workers_waiting_until, '-infinity') < v_half;
  END IF;
  RETURN (SELECT extract(epoch FROM min(coalesce(CASE WHEN p_operator THEN q.operator_waiting_until
                                                      ELSE q.workers_waiting_until END, v_now)) - v_now)
          FROM penstock.queue AS q WHERE q.id = ANY (p_queues));
END $$;
