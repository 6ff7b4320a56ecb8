-- Purpose: a worker announces that it stops for good: it claims nothing more and cannot be uncordoned. Returns its state
-- afterwards: draining, lost if its lease had expired (nothing is changed then), NULL without a row. Idempotent.
-- Index: worker's key. Locks: the worker's row; a claim in flight is not waited for, and is released by the worker.
CREATE OR REPLACE FUNCTION penstock.begin_drain(p_worker bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_state text;
BEGIN
  UPDATE penstock.worker AS w SET state = 'draining'
  WHERE w.id = p_worker AND w.state IN ('running', 'cordoned', 'drained') RETURNING w.state INTO v_state;
  IF NOT FOUND THEN
    SELECT w.state INTO v_state FROM penstock.worker AS w WHERE w.id = p_worker;
  END IF;
  RETURN v_state;
END $$;
