-- Purpose: pause or resume a schedule. Ticks during a pause are not fired: p_next, the first tick from now on, becomes next_at
-- at a resume. Returns present: whether there is such a schedule, and done: whether its declaration was still of p_generation;
-- if not, the caller computes p_next again. Stores the login that paused; a declaration leaves such a pause alone.
-- Index: schedule(queue, name). Locks: the schedule's row, waited for at most five seconds (55P03).
CREATE OR REPLACE FUNCTION penstock.pause_schedule(
  p_queue text, p_name text, p_paused boolean, p_generation bigint, p_next timestamptz, OUT present boolean, OUT done boolean
) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  v penstock.schedule;
  v_id bigint := (SELECT s.id FROM penstock.schedule AS s WHERE s.queue = p_queue AND s.name = p_name);
BEGIN
  SELECT * INTO v FROM penstock.schedule AS s WHERE s.id = v_id FOR UPDATE;
  present := v.id IS NOT NULL AND v.removed_at IS NULL;
  done := present AND coalesce(v.generation = p_generation, false);
  IF done AND p_paused THEN
    UPDATE penstock.schedule AS s SET paused_at = clock_timestamp(), paused_by = session_user::text
    WHERE s.id = v.id AND s.paused_at IS NULL;
  ELSIF done AND v.paused_at IS NOT NULL THEN
    UPDATE penstock.schedule AS s SET paused_at = NULL, paused_by = NULL, next_at = p_next, unsuccessful_since = NULL, expected_by = NULL
    WHERE s.id = v.id;
  END IF;
END $$;
