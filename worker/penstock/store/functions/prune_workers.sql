-- Purpose: forget workers that were lost and swept an hour ago, and room that was returned to a queue without a limit.
-- Returns how many workers. Index: none, the tables are small. Locks: those rows.
CREATE OR REPLACE FUNCTION penstock.prune_workers() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_pruned integer;
BEGIN
  DELETE FROM penstock.limit_return AS r
  WHERE NOT EXISTS (SELECT FROM penstock.queue_limit AS l WHERE l.queue = r.queue);
  DELETE FROM penstock.worker AS w
  WHERE w.state = 'lost' AND w.swept AND w.lease_until < clock_timestamp() - interval '1 hour';
  GET DIAGNOSTICS v_pruned = ROW_COUNT;
  RETURN v_pruned;
END $$;
