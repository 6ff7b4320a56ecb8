-- Purpose: have one partition of outcome for each UTC day from yesterday to p_days ahead; returns how many were made or
-- attached. Made separately and then attached, because that takes a weaker lock than CREATE TABLE PARTITION OF. One that was
-- detached manually is attached again; a day that another partition covers is left alone. Runs as the owner of the tables; the
-- caller chooses nothing, not even by default_tablespace and default_table_access_method: partitions lie where outcome lies.
-- Index: the catalog's own. Locks: SHARE UPDATE EXCLUSIVE on outcome until the caller's commit; waits at most 100 ms.
CREATE OR REPLACE FUNCTION penstock.make_partitions(p_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
SET default_tablespace = '' SET default_table_access_method = 'heap' AS $$
DECLARE
  c_bound CONSTANT text := 'YYYY-MM-DD "00:00:00+00"';  -- the same with every DateStyle
  v_place text := (SELECT format(' TABLESPACE %I', s.spcname) FROM pg_class AS c JOIN pg_tablespace AS s
                   ON s.oid = c.reltablespace WHERE c.oid = 'penstock.outcome'::regclass);
  v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  v_name text;
  v_made integer := 0;
BEGIN
  FOR v_day IN -1 .. least(greatest(p_days, 0), 60) LOOP
    v_name := 'outcome_' || to_char(v_today + v_day, 'YYYYMMDD');
    CONTINUE WHEN EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = to_regclass('penstock.' || v_name)
                            AND i.inhparent = 'penstock.outcome'::regclass);
    BEGIN
      EXECUTE format('CREATE TABLE IF NOT EXISTS penstock.%I (LIKE penstock.outcome INCLUDING ALL)%s', v_name, v_place);
      EXECUTE format('ALTER TABLE penstock.outcome ATTACH PARTITION penstock.%I FOR VALUES FROM (%L) TO (%L)', v_name,
                     to_char(v_today + v_day, c_bound), to_char(v_today + v_day + 1, c_bound));
      v_made := v_made + 1;
    EXCEPTION
      WHEN lock_not_available THEN
        RETURN v_made;  -- the next call tries again
      WHEN duplicate_table OR unique_violation OR invalid_object_definition OR check_violation THEN
        NULL;  -- made meanwhile by another call, or covered by a partition that was made manually
    END;
  END LOOP;
  RETURN v_made;
END $$;
