-- Purpose: set how many undeclared queues may exist, for the schema's owner; 1,000 after the first migration. Existing queues
-- stay. Returns how many may be made now.
-- Index: queue_slot's key. Locks: the slots that are removed or changed.
CREATE OR REPLACE FUNCTION penstock.limit_undeclared(p_most integer) RETURNS integer LANGUAGE plpgsql STRICT AS $$
BEGIN
  IF p_most NOT BETWEEN 0 AND 1000000 THEN
    RAISE EXCEPTION 'limit_undeclared: must be 0 to 1000000, got %', p_most USING ERRCODE = '22023';
  END IF;
  DELETE FROM penstock.queue_slot AS s WHERE s.slot > p_most AND s.queue IS NULL;
  UPDATE penstock.queue_slot AS s SET slot = -s.queue WHERE s.slot > p_most;
  INSERT INTO penstock.queue_slot (slot) SELECT generate_series(1, p_most) ON CONFLICT DO NOTHING;
  RETURN (SELECT count(*) FROM penstock.queue_slot AS s WHERE s.queue IS NULL);
END $$;
