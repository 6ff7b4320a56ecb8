-- Purpose: the part of enqueue_many for a job with a unique key. The key is unique among the live jobs of its queue until the
-- job starts (p_until_start) or ends, and for at most p_seconds. If the key is taken, the holder's id is returned, or with
-- p_refuse PN002 raised. Waits for a producer with the key in an open transaction.
-- Index: job_unique. Locks: the row of an expired holder; waits for a concurrent insert of the same key.
CREATE OR REPLACE FUNCTION penstock.enqueue_unique(
  p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_max_attempts smallint,
  p_delay double precision, p_at timestamptz, p_headers jsonb, p_key text, p_until_start boolean,
  p_seconds double precision, p_refuse boolean
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_due timestamptz := coalesce(p_at, v_now + make_interval(secs => p_delay), v_now);
  v_queue penstock.queue%ROWTYPE;
  v_key text;
  v_id bigint;
BEGIN
  SELECT * INTO STRICT v_queue FROM penstock.queue AS q WHERE q.name = p_queue;
  v_key := v_queue.id || ':' || p_key;
  LOOP  -- each iteration with a fresh snapshot, below REPEATABLE READ
    UPDATE penstock.job AS j SET unique_key = NULL, unique_kept = NULL
      WHERE j.unique_key = v_key AND j.unique_until <= clock_timestamp();
    INSERT INTO penstock.job (id, ord, due_at, ready_at, created_at, queue, priority, max_attempts, reason, task, headers,
                              args, unique_key, unique_kept, unique_until)
    VALUES (p_id, CASE WHEN v_due <= v_now THEN nextval('penstock.job_ord_seq') END, CASE WHEN v_due > v_now THEN v_due END,
            CASE WHEN v_due <= v_now THEN v_now END, v_now, v_queue.id, coalesce(p_priority, 1::smallint),
            coalesce(p_max_attempts, v_queue.max_attempts), CASE WHEN v_due > v_now THEN 'scheduled' END, p_task, p_headers,
            p_args, v_key, CASE WHEN p_until_start THEN v_key END, v_now + make_interval(secs => p_seconds))
    ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING RETURNING id INTO v_id;
    IF FOUND THEN
      PERFORM penstock.wake(CASE WHEN v_due <= v_now THEN ARRAY[v_queue.id] END);
      RETURN v_id;
    END IF;
    SELECT j.id INTO v_id FROM penstock.job AS j WHERE j.unique_key = v_key;
    IF FOUND THEN
      IF p_refuse THEN
        RAISE EXCEPTION 'enqueue: the unique key % of queue % is taken by job %', quote_literal(p_key), p_queue, v_id
          USING ERRCODE = 'PN002';
      END IF;
      RETURN v_id;
    END IF;
  END LOOP;
END $$;
