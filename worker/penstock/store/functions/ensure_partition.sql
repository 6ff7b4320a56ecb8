-- Purpose: have a partition of outcome for this moment, for functions that write an outcome seldom; ack looks by itself. It is
-- missing in a restored dump, where maintenance was absent for two weeks, and after a step of the clock.
-- Index: the catalog's own. Locks: as make_partitions, only where it is missing.
CREATE OR REPLACE FUNCTION penstock.ensure_partition() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i
    WHERE i.inhrelid = to_regclass('penstock.outcome_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')))
  THEN
    PERFORM penstock.make_partitions(1);
  END IF;
END $$;
