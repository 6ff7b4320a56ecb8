-- Purpose: note how the process of a pod's workers ended, for the history of their jobs. Applies to the queue's workers in that
-- pod that had started by then and whose jobs were not reclaimed yet; a later end wins. Idempotent.
-- Index: none, the table is small. Locks: the workers' rows, in id order; waits for a claim in flight, which is short.
CREATE OR REPLACE FUNCTION penstock.note_end(p_queue integer, p_pod text, p_at timestamptz, p_how text) RETURNS void
LANGUAGE plpgsql STRICT AS $$
DECLARE
  v_ids bigint[] := ARRAY(SELECT w.id FROM penstock.worker AS w WHERE w.pod = p_pod AND p_queue = ANY (w.queues) AND NOT w.swept);
BEGIN
  PERFORM FROM penstock.worker AS w WHERE w.id = ANY (v_ids) ORDER BY w.id FOR UPDATE;
  -- The kubelet's times are whole seconds.
  UPDATE penstock.worker AS w SET info = w.info || jsonb_build_object('ended', left(p_how, 400))
    WHERE w.id = ANY (v_ids) AND NOT w.swept AND w.started_at <= p_at + interval '1 second';
END $$;
