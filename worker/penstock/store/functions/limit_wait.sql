-- Purpose: the part of limit_give_back for a limit whose row is locked: waits for a claim in flight, which is short. Returns
-- the row as it is then, locked; NULL if it stays locked, or if there is none.
-- Index: queue_limit's key, backwards. Locks: the limit's row, waited for at most 100 ms.
CREATE OR REPLACE FUNCTION penstock.limit_wait(p_queue integer) RETURNS penstock.queue_limit LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $$
DECLARE
  v_limit penstock.queue_limit%ROWTYPE;
BEGIN
  SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = p_queue
  ORDER BY l.queue DESC, l.seq DESC LIMIT 1 FOR UPDATE;
  RETURN v_limit;
EXCEPTION WHEN lock_not_available THEN
  RETURN NULL;
END $$;
