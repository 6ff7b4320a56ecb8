-- Purpose: delete workers that were lost and swept an hour ago, and room that was returned to a queue without a limit. Returns
-- how many workers.
-- Index: none, the tables are small. Locks: those rows, skip locked.
CREATE OR REPLACE FUNCTION penstock.prune_workers() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_pruned integer;
BEGIN
  DELETE FROM penstock.limit_return AS r WHERE r.id IN (
    SELECT x.id FROM penstock.limit_return AS x
    WHERE NOT EXISTS (SELECT FROM penstock.queue_limit AS l WHERE l.queue = x.queue) FOR UPDATE OF x SKIP LOCKED);
  DELETE FROM penstock.worker AS w WHERE w.id IN (
    SELECT x.id FROM penstock.worker AS x
    WHERE x.state = 'lost' AND x.swept AND x.lease_until < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS v_pruned = ROW_COUNT;
  RETURN v_pruned;
END $$;
