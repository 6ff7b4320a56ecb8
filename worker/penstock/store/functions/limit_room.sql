-- Purpose: how many jobs of a limited queue may be claimed now; NULL for a queue without a limit, 0 while its running jobs are
-- being counted. Returns by transactional acknowledgements are folded in here. The caller adds what it claims.
-- Index: queue_limit's key. Locks: the limit's row until the claim commits, so that two claims cannot both see the room.
CREATE OR REPLACE FUNCTION penstock.limit_room(p_queue integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_limit penstock.queue_limit%ROWTYPE;
  v_returned integer;
BEGIN
  SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = p_queue FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  WITH folded AS (DELETE FROM penstock.limit_return AS r WHERE r.queue = p_queue RETURNING r.amount)
  SELECT coalesce(sum(amount), 0) INTO v_returned FROM folded;
  IF v_returned > 0 THEN
    UPDATE penstock.queue_limit AS l SET in_flight = l.in_flight - v_returned WHERE l.queue = p_queue;
  END IF;
  RETURN greatest(coalesce(v_limit.max_in_flight - v_limit.in_flight + v_returned, 0), 0);
END $$;
