-- Purpose: have one partition of outcome for each UTC day from yesterday to p_days ahead. Made apart and then attached,
-- because that takes a weaker lock than CREATE … PARTITION OF. Runs as the owner of the tables; nothing to choose in it.
-- Locks: SHARE UPDATE EXCLUSIVE on outcome for an instant, given up after 100 ms (the next call tries again).
CREATE OR REPLACE FUNCTION penstock.make_partitions(p_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  v_name text;
  v_made integer := 0;
BEGIN
  FOR v_day IN -1 .. least(greatest(p_days, 0), 60) LOOP
    v_name := 'outcome_' || to_char(v_today + v_day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('penstock.' || v_name) IS NOT NULL;
    EXECUTE format('CREATE TABLE penstock.%I (LIKE penstock.outcome INCLUDING ALL)', v_name);
    EXECUTE format('ALTER TABLE penstock.outcome ATTACH PARTITION penstock.%I FOR VALUES FROM (%L) TO (%L)', v_name,
                   (v_today + v_day)::text || ' 00:00:00+00', (v_today + v_day + 1)::text || ' 00:00:00+00');
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
EXCEPTION WHEN lock_not_available OR duplicate_table THEN
  RETURN 0;
END $$;
