-- Purpose: enqueue a job of a schedule now, for a person, also while it is paused; no tick is touched. The job has this session's
-- login in its header penstock-run-by, and counts for overlap: a tick that comes while it is live is skipped, or waits for it.
-- Returns the job's id, NULL if there is no such schedule.
-- Index: schedule(queue, name). Locks: the schedule's row, waited for at most five seconds (55P03); then as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.run_schedule(p_queue text, p_name text) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
  v_id bigint := (SELECT s.id FROM penstock.schedule AS s WHERE s.queue = p_queue AND s.name = p_name);
  v_removed timestamptz;
  v_job bigint;
BEGIN
  SELECT s.removed_at INTO v_removed FROM penstock.schedule AS s WHERE s.id = v_id FOR UPDATE;
  IF v_id IS NOT NULL AND v_removed IS NULL THEN
    INSERT INTO penstock.schedule_tick (schedule, tick, manual, state) VALUES (v_id, clock_timestamp(), true, 'due');
    PERFORM penstock.start_ticks(ARRAY[v_id]);
    SELECT s.last_job INTO v_job FROM penstock.schedule AS s WHERE s.id = v_id;
  END IF;
  RETURN v_job;
END $$;
