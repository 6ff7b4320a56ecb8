-- Purpose: drop the partitions of outcome whose every row is older than the longest retention of any queue.
-- Runs as the owner of the tables; nothing to choose in it. Locks: ACCESS EXCLUSIVE on the partition and outcome, waited
-- for 100 ms at most (the next call tries again), so that acknowledgements never queue behind it for longer.
CREATE OR REPLACE FUNCTION penstock.drop_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  v_keep date;
  v_name text;
  v_dropped integer := 0;
BEGIN
  SELECT ((clock_timestamp() - coalesce(max(q.retention), interval '1 day')) AT TIME ZONE 'UTC')::date INTO v_keep
  FROM penstock.queue AS q;
  FOR v_name IN
    SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'penstock.outcome'::regclass AND c.relname ~ '^outcome_[0-9]{8}$'
      AND to_date(substr(c.relname, 9), 'YYYYMMDD') < v_keep ORDER BY 1
  LOOP
    EXECUTE format('DROP TABLE penstock.%I', v_name);
    v_dropped := v_dropped + 1;
  END LOOP;
  RETURN v_dropped;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END $$;
