-- Purpose: put one job into a queue, in the caller's transaction; returns its id. The call for plain SQL.
-- Index and locks: as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.enqueue(
  p_queue text, p_task text, p_args jsonb DEFAULT '{}', p_priority smallint DEFAULT 1,
  p_max_attempts smallint DEFAULT NULL, p_delay double precision DEFAULT NULL,
  p_at timestamptz DEFAULT NULL, p_headers jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
  SELECT (penstock.enqueue_many(ARRAY[p_queue], ARRAY[p_task], ARRAY[p_args], ARRAY[p_priority],
                                ARRAY[p_max_attempts], ARRAY[p_delay], ARRAY[p_at], ARRAY[p_headers]))[1]
$$;
