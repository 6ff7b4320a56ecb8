-- Purpose: keep a queue that was found idle, or may have been, until the caller's commit; false if it was pruned meanwhile.
-- Concurrent keepers do not wait for each other. A queue without a slot is never pruned.
-- Index: queue_slot(queue), queue's key. Locks: the slot's row, shared; waits for a prune of this queue.
CREATE OR REPLACE FUNCTION penstock.keep_queue(p_queue integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM penstock.queue_slot AS s WHERE s.queue = p_queue FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN EXISTS (SELECT FROM penstock.queue AS q WHERE q.id = p_queue);
  END IF;
  UPDATE penstock.queue_slot AS s SET used_at = clock_timestamp() WHERE s.slot = (
    SELECT f.slot FROM penstock.queue_slot AS f JOIN penstock.queue AS q ON q.id = f.queue
    WHERE f.queue = p_queue AND coalesce(f.used_at, '-infinity') <= q.idle_since FOR NO KEY UPDATE OF f SKIP LOCKED);
  RETURN true;
END $$;
