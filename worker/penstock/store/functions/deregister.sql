-- Purpose: a worker leaves. One that holds nothing is forgotten; one that may still hold claims is marked lost, so that
-- the next rescue takes them at once instead of after the lease. Index: worker's key. Locks: the worker's row.
CREATE OR REPLACE FUNCTION penstock.deregister(p_worker bigint, p_empty boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_empty THEN
    DELETE FROM penstock.worker AS w WHERE w.id = p_worker AND w.state <> 'lost';
  ELSE
    PERFORM FROM penstock.worker AS w WHERE w.id = p_worker FOR UPDATE;
    UPDATE penstock.worker AS w SET state = 'lost', lease_until = clock_timestamp()
    WHERE w.id = p_worker AND w.state <> 'lost';
  END IF;
END $$;
