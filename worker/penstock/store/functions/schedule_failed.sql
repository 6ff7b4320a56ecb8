-- Purpose: note that the ticks of a schedule could not be computed or enqueued, and leave it alone for a minute: the other
-- schedules go on, and the error is shown by list_schedules. Returns whether it is still the declaration that failed.
-- Index: schedule's key. Locks: the schedule's row, waited for at most a second (55P03).
CREATE OR REPLACE FUNCTION penstock.schedule_failed(p_id bigint, p_generation bigint, p_error text)
RETURNS boolean LANGUAGE sql SET lock_timeout = '1s' AS $$
  UPDATE penstock.schedule AS s SET last_error = left(p_error, 1000), retry_at = clock_timestamp() + interval '1 minute'
  WHERE s.id = p_id AND s.generation = p_generation
  RETURNING true
$$;
