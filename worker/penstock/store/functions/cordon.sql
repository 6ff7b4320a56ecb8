-- Purpose: tell running workers to stop asking (p_cordon) or call cordoned or drained ones back. Returns the ids changed.
-- Index: worker's key. Locks: the workers' rows, in id order; waits for a claim in flight, which is short.
CREATE OR REPLACE FUNCTION penstock.cordon(p_workers bigint[], p_cordon boolean) RETURNS SETOF bigint
LANGUAGE plpgsql STRICT AS $$
BEGIN
  PERFORM FROM penstock.worker AS w WHERE w.id = ANY (p_workers) ORDER BY w.id FOR UPDATE;
  RETURN QUERY UPDATE penstock.worker AS w SET state = CASE WHEN p_cordon THEN 'cordoned' ELSE 'running' END
    WHERE w.id = ANY (p_workers)
      AND CASE WHEN p_cordon THEN w.state = 'running' ELSE w.state IN ('cordoned', 'drained') END
    RETURNING w.id;
  PERFORM pg_notify('penstock_control', w::text) FROM unnest(p_workers) AS w;
END $$;
