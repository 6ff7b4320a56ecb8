-- Purpose: remove a worker that exits. One without claims is deleted; one that may still have claims is marked lost, and the
-- next rescue reclaims them at once instead of after the lease.
-- Index: worker's key. Locks: the worker's row.
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
