-- Purpose: drop the oldest partition of outcome in which every row is older than the longest retention of any queue. Returns 1,
-- or 0 if there is none. One per call, because a call trusts the clock: if the clock has jumped ahead, one day is lost, not
-- all. A partition that is being read stays until a later call and blocks no other. Runs as the owner of the tables; the caller
-- chooses nothing.
-- Index: queue_retention, its end. Locks: ACCESS EXCLUSIVE on the partition, without waiting, and only then on outcome, waited
-- for at most 100 ms: acknowledgements queue for that one wait only.
CREATE OR REPLACE FUNCTION penstock.drop_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  v_keep date;
  v_name text;
BEGIN
  SELECT ((clock_timestamp() - coalesce(max(q.retention), interval '1 day')) AT TIME ZONE 'UTC')::date INTO v_keep
  FROM penstock.queue AS q;
  FOR v_name IN
    SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'penstock.outcome'::regclass AND c.relname ~ '^outcome_[0-9]{8}$'
      AND to_date(substr(c.relname, 9), 'YYYYMMDD') < v_keep ORDER BY 1
  LOOP
    BEGIN
      EXECUTE format('LOCK TABLE penstock.%I IN ACCESS EXCLUSIVE MODE NOWAIT', v_name);
    EXCEPTION WHEN lock_not_available THEN
      CONTINUE;
    END;
    BEGIN
      EXECUTE format('DROP TABLE penstock.%I', v_name);
    EXCEPTION WHEN lock_not_available THEN
      RETURN 0;
    END;
    RETURN 1;
  END LOOP;
  RETURN 0;
END $$;
