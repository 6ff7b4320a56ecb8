-- Purpose: how many jobs of a limited queue may be claimed now; NULL for a queue without a limit, 0 while its running jobs are
-- being counted. Returns of room that did not wait for the limit's row are folded in here: those of transactions that the last
-- fold did not see, found by transaction id. The caller adds what it claims, by limit_take. The row moves up in its index at
-- each change, and is read from the top: under a long snapshot the older versions stay.
-- Index: queue_limit's key, backwards; limit_return(queue, xid). Locks: the limit's row until the claim commits, which keeps
-- two claims from using the same room.
CREATE OR REPLACE FUNCTION penstock.limit_room(p_queue integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_limit penstock.queue_limit%ROWTYPE;
  v_since pg_snapshot;
  v_seen pg_snapshot;
  v_returned integer;
  v_rows integer;
BEGIN
  SELECT * INTO v_limit FROM penstock.queue_limit AS l WHERE l.queue = p_queue
  ORDER BY l.queue DESC, l.seq DESC LIMIT 1 FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF pg_snapshot_xmax(v_limit.folded) <= pg_snapshot_xmax(pg_current_snapshot()) THEN  -- else written by another server
    v_since := v_limit.folded;
  END IF;
  IF v_since IS NULL THEN
    WITH gone AS (DELETE FROM penstock.limit_return AS r WHERE r.queue = p_queue RETURNING r.amount)
    SELECT sum(g.amount), count(*), pg_current_snapshot() INTO v_returned, v_rows, v_seen FROM gone AS g;
  ELSE
    WITH gone AS (
      DELETE FROM penstock.limit_return AS r WHERE r.ctid = ANY (ARRAY(
        SELECT n.ctid FROM penstock.limit_return AS n WHERE n.queue = p_queue AND n.xid >= pg_snapshot_xmax(v_since)
        UNION ALL SELECT o.ctid FROM pg_snapshot_xip(v_since) AS x (id), LATERAL (
          SELECT s.ctid FROM penstock.limit_return AS s WHERE s.queue = p_queue AND s.xid = x.id) AS o)) RETURNING r.amount)
    SELECT sum(g.amount), count(*), pg_current_snapshot() INTO v_returned, v_rows, v_seen FROM gone AS g;
  END IF;
  IF v_rows > 0 THEN
    UPDATE penstock.queue_limit AS l SET in_flight = l.in_flight - v_returned, folded = v_seen, seq = l.seq + 1
    WHERE l.queue = p_queue AND l.seq = v_limit.seq;
  END IF;
  RETURN greatest(coalesce(v_limit.max_in_flight - v_limit.in_flight + coalesce(v_returned, 0), 0), 0);
END $$;
