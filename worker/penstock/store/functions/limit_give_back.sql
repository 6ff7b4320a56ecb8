-- Purpose: return room to limited queues: one element of p_queues for each job that stopped running. Waits for a claim in
-- flight that locks the limit's row; if the row stays locked, the room goes into limit_return, for the next claim. While a
-- limit is being counted the addition leaves NULL; the job is not counted, or its return is subtracted later. If the limit was
-- reached, waiters for room are woken. The name stays, because an acknowledgement that runs while `penstock migrate` commits
-- still calls it.
-- Index: queue_limit's key, backwards. Locks: the limits' rows in id order, at most 100 ms each, after the jobs' rows.
CREATE OR REPLACE FUNCTION penstock.limit_give_back(p_queues integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_back record;
  v_limit penstock.queue_limit%ROWTYPE;
BEGIN
  IF p_queues IS NULL
     OR (SELECT l.queue FROM penstock.queue_limit AS l ORDER BY l.queue DESC, l.seq DESC LIMIT 1) IS NULL THEN
    RETURN;
  END IF;
  FOR v_back IN SELECT q.id, count(*) AS jobs FROM unnest(p_queues) AS q (id) GROUP BY q.id ORDER BY q.id LOOP
    SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = v_back.id
    ORDER BY l.queue DESC, l.seq DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      CONTINUE WHEN (SELECT l.queue FROM penstock.queue_limit AS l WHERE l.queue = v_back.id
                     ORDER BY l.queue DESC, l.seq DESC LIMIT 1) IS NULL;
      v_limit := penstock.limit_wait(v_back.id);
    END IF;
    IF v_limit.queue IS NOT NULL THEN
      UPDATE penstock.queue_limit AS l SET in_flight = l.in_flight - v_back.jobs, seq = l.seq + 1
      WHERE l.queue = v_back.id AND l.seq = v_limit.seq;
    ELSE
      SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = v_back.id
      ORDER BY l.queue DESC, l.seq DESC LIMIT 1;
      CONTINUE WHEN NOT FOUND;
      INSERT INTO penstock.limit_return (queue, amount) SELECT v_back.id, 1 FROM generate_series(1, v_back.jobs);
    END IF;
    IF v_limit.in_flight >= v_limit.max_in_flight THEN
      PERFORM penstock.wake(ARRAY[v_back.id]);
    END IF;
  END LOOP;
END $$;
