-- Purpose: delete dead letters for good; their outcomes stay until retention. Returns how many were deleted.
-- Index: dead's key. Locks: the rows, in id order.
CREATE OR REPLACE FUNCTION penstock.discard(p_ids bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count integer;
BEGIN
  PERFORM FROM penstock.dead AS d WHERE d.id = ANY (p_ids) ORDER BY d.id FOR UPDATE;
  DELETE FROM penstock.dead AS d WHERE d.id = ANY (p_ids);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;
