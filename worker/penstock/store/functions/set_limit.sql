-- Purpose: limit how many jobs of a queue run at once in the whole cluster, or lift the limit (NULL). A new limit is not
-- counted yet: claims wait until count_limits has run in a later transaction. A changed one keeps its count. If there is room
-- now, waiters for it are woken.
-- Index: queue_limit's key, backwards. Locks: the queue's row, which keeps two calls from making it twice; the limit's row.
CREATE OR REPLACE FUNCTION penstock.set_limit(p_queue integer, p_max_in_flight integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_limit penstock.queue_limit%ROWTYPE;
  v_found boolean;
BEGIN
  SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = p_queue ORDER BY l.queue DESC, l.seq DESC LIMIT 1;
  v_found := FOUND;
  IF v_limit.max_in_flight IS NOT DISTINCT FROM p_max_in_flight THEN
    RETURN;
  END IF;
  PERFORM FROM penstock.queue AS q WHERE q.id = p_queue FOR NO KEY UPDATE;
  IF p_max_in_flight IS NULL THEN
    DELETE FROM penstock.queue_limit AS l WHERE l.queue = p_queue;
    DELETE FROM penstock.limit_return AS r WHERE r.queue = p_queue;
  ELSE
    SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = p_queue
    ORDER BY l.queue DESC, l.seq DESC LIMIT 1 FOR UPDATE;
    IF FOUND THEN
      UPDATE penstock.queue_limit AS l SET max_in_flight = p_max_in_flight, seq = l.seq + 1
      WHERE l.queue = p_queue AND l.seq = v_limit.seq;
    ELSE  -- above the row versions of a lifted limit
      INSERT INTO penstock.queue_limit (queue, max_in_flight, seq)
      VALUES (p_queue, p_max_in_flight, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
  END IF;
  IF v_found THEN
    PERFORM penstock.wake(ARRAY[p_queue]);
  END IF;
END $$;
