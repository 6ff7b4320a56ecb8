-- Purpose: make the partition of outcome for the current time, for functions that rarely write an outcome; ack checks by
-- itself. It is missing in a restored dump, after two weeks without maintenance, and after a jump of the clock.
-- Index: the catalog's own. Locks: as make_partitions, only if it is missing.
CREATE OR REPLACE FUNCTION penstock.ensure_partition() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i
    WHERE i.inhrelid = to_regclass('penstock.outcome_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')))
  THEN
    PERFORM penstock.make_partitions(1);
  END IF;
END $$;
