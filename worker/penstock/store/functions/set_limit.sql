-- Purpose: limit how many jobs of a queue run at once in the whole cluster, or lift the limit (NULL). A new limit is not
-- counted yet: claims wait until count_limit has run in a later transaction. A changed one keeps its count.
-- Index: queue_limit's key. Locks: the limit's row.
CREATE OR REPLACE FUNCTION penstock.set_limit(p_queue integer, p_max_in_flight integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_max_in_flight IS NULL THEN
    DELETE FROM penstock.queue_limit AS l WHERE l.queue = p_queue;
    DELETE FROM penstock.limit_return AS r WHERE r.queue = p_queue;
  ELSE
    INSERT INTO penstock.queue_limit AS l (queue, max_in_flight) VALUES (p_queue, p_max_in_flight)
    ON CONFLICT (queue) DO UPDATE SET max_in_flight = p_max_in_flight WHERE l.max_in_flight <> p_max_in_flight;
  END IF;
END $$;
