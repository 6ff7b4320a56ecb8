-- Purpose: give room back to limited queues: one element of p_queues for each job that is no longer running. While a limit
-- is being counted the addition leaves NULL but still takes the row's lock, so that the counter sees this commit or waits.
-- Index: queue_limit's key. Locks: the limits' rows in id order, after the jobs' rows.
CREATE OR REPLACE FUNCTION penstock.limit_give_back(p_queues integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_back record;
BEGIN
  IF p_queues IS NULL OR NOT EXISTS (SELECT FROM penstock.queue_limit) THEN
    RETURN;
  END IF;
  FOR v_back IN SELECT q.id, count(*) AS jobs FROM unnest(p_queues) AS q (id) GROUP BY q.id ORDER BY q.id LOOP
    UPDATE penstock.queue_limit AS l SET in_flight = l.in_flight - v_back.jobs WHERE l.queue = v_back.id;
  END LOOP;
END $$;
