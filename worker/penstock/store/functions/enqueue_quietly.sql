-- Purpose: enqueue_many without a wake-up: workers find the jobs with their next poll. For a transaction that is to be prepared
-- (two-phase commit), because Postgres prepares none that has sent a NOTIFY. The setting holds for this call only.
-- Index, locks: as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.enqueue_quietly(
  p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[] DEFAULT NULL,
  p_max_attempts smallint[] DEFAULT NULL, p_delays double precision[] DEFAULT NULL,
  p_ats timestamptz[] DEFAULT NULL, p_headers jsonb[] DEFAULT NULL, p_unique_keys text[] DEFAULT NULL,
  p_until_start boolean[] DEFAULT NULL, p_unique_seconds double precision[] DEFAULT NULL,
  p_refuse boolean[] DEFAULT NULL
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  v_before text := coalesce(current_setting('penstock.wake', true), '');
  v_ids bigint[];
BEGIN
  PERFORM set_config('penstock.wake', 'off', true);  -- a SET clause would need a superuser to create the function
  v_ids := penstock.enqueue_many(p_queues, p_tasks, p_args, p_priorities, p_max_attempts, p_delays, p_ats, p_headers,
    p_unique_keys, p_until_start, p_unique_seconds, p_refuse);
  PERFORM set_config('penstock.wake', v_before, true);  -- an error rolls it back with the statement
  RETURN v_ids;
END $$;
