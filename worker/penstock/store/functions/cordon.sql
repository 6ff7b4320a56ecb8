-- Purpose: cordon running workers (p_cordon), or uncordon cordoned and drained ones. Returns the ids that changed.
-- Index: worker's key. Locks: the workers' rows, in id order; waits for a claim in flight, which is short. A row that another
-- transaction locks for longer than 250 ms is skipped: that worker is not changed, the others are.
CREATE OR REPLACE FUNCTION penstock.cordon(p_workers bigint[], p_cordon boolean) RETURNS SETOF bigint
LANGUAGE plpgsql STRICT SET lock_timeout = '250ms' AS $$
DECLARE
  v_id bigint;
  v_locked bigint[] := '{}';
BEGIN
  FOR v_id IN SELECT DISTINCT u FROM unnest(p_workers) AS u ORDER BY u LOOP
    BEGIN
      PERFORM FROM penstock.worker AS w WHERE w.id = v_id FOR UPDATE;
    EXCEPTION WHEN lock_not_available THEN
      v_locked := v_locked || v_id;
    END;
  END LOOP;
  RETURN QUERY UPDATE penstock.worker AS w SET state = CASE WHEN p_cordon THEN 'cordoned' ELSE 'running' END
    WHERE w.id = ANY (p_workers) AND NOT w.id = ANY (v_locked)
      AND CASE WHEN p_cordon THEN w.state = 'running' ELSE w.state IN ('cordoned', 'drained') END
    RETURNING w.id;
  PERFORM pg_notify('penstock_control', w::text) FROM unnest(p_workers) AS w;
END $$;
