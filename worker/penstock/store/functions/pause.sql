-- Purpose: pause or resume a queue by name; running jobs go on, claims return no jobs. Returns whether the queue exists. Stores
-- the login that paused; declare_queue leaves such a pause alone.
-- Index: queue(name). Locks: the queue's row, for this statement.
CREATE OR REPLACE FUNCTION penstock.pause(p_queue text, p_paused boolean) RETURNS boolean LANGUAGE plpgsql STRICT AS $$
DECLARE
  v_id integer;
BEGIN
  UPDATE penstock.queue AS q
  SET paused_at = CASE WHEN p_paused THEN coalesce(q.paused_at, clock_timestamp()) END,
      paused_by = CASE WHEN p_paused THEN session_user::text END
  WHERE q.name = p_queue RETURNING q.id INTO v_id;
  IF NOT p_paused THEN
    PERFORM penstock.wake(ARRAY[v_id]);
  END IF;
  RETURN v_id IS NOT NULL;
END $$;
