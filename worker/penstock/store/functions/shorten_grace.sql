-- Purpose: set for the workers of a pod that is being deleted in how many seconds it is killed, if that is less than their
-- drain timeout: a spot node is reclaimed, or an administrator drains it with a short grace period. The latest call wins.
-- Index: none, the table is small. Locks: the workers' rows, in id order; waits for a claim in flight, which is short.
CREATE OR REPLACE FUNCTION penstock.shorten_grace(p_queue integer, p_pod text, p_seconds double precision) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
  v_until CONSTANT double precision := extract(epoch FROM clock_timestamp()) + greatest(0, p_seconds);
  v_ids bigint[] := ARRAY(SELECT w.id FROM penstock.worker AS w WHERE w.pod = p_pod AND p_queue = ANY (w.queues));
BEGIN
  PERFORM FROM penstock.worker AS w WHERE w.id = ANY (v_ids) ORDER BY w.id FOR UPDATE;
  PERFORM pg_notify('penstock_control', w.id::text) FROM penstock.worker AS w
    WHERE w.id = ANY (v_ids) AND w.state <> 'lost';
  UPDATE penstock.worker AS w SET info = w.info || jsonb_build_object('killed_at', v_until)
    WHERE w.id = ANY (v_ids) AND w.state <> 'lost';
END $$;
