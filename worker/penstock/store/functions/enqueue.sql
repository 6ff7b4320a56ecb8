-- Purpose: enqueue one job in the caller's transaction; returns its id. For plain SQL, and for enqueue_many with one job
-- without a unique key: two statements, where a batch needs eight. Bounds as there. Waiters, and whether the queue is idle, are
-- read with the queue, once the transaction id is taken: a later marker waits for this transaction (docs/explanation/store.md,
-- "Waiting", "Undeclared queues"). Above READ COMMITTED neither may be visible: wake always sends, and an undeclared queue's
-- slot is locked.
-- Index: queue(name), job's own two. Locks: as make_queue, for a queue that it makes; as keep_queue, for an idle one.
CREATE OR REPLACE FUNCTION penstock.enqueue(
  p_queue text, p_task text, p_args jsonb DEFAULT '{}', p_priority smallint DEFAULT 1,
  p_max_attempts smallint DEFAULT NULL, p_delay double precision DEFAULT NULL,
  p_at timestamptz DEFAULT NULL, p_headers jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock_timestamp(); v_due timestamptz;
  v_blind boolean := current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted');
  v_queue integer; v_attempts smallint; v_waiting boolean; v_unsure boolean; v_id bigint; v_xid xid8;
BEGIN
  IF p_delay > 316224000 OR p_at >= '9999-01-01Z' THEN
    RAISE EXCEPTION 'enqueue: delay must be at most ten years, and at must be before the year 9999' USING ERRCODE = '22008';
  ELSIF octet_length(p_args::text) > 262144 OR octet_length(p_headers::text) > 262144 THEN  -- without spaces it may fit
    PERFORM penstock.check_size('arguments', ARRAY[p_args]), penstock.check_size('headers', ARRAY[p_headers]);
  END IF;
  v_due := coalesce(p_at, v_now + make_interval(secs => p_delay), v_now);
  v_xid := pg_current_xact_id();  -- before any ord is drawn and before any waiter's mark is read
  LOOP
    SELECT q.id, coalesce(p_max_attempts, q.max_attempts), greatest(q.workers_waiting_until, q.operator_waiting_until) > v_now,
           q.idle_since IS NOT NULL OR v_blind AND q.declared_by IS NULL
    INTO v_queue, v_attempts, v_waiting, v_unsure FROM penstock.queue AS q WHERE q.name = p_queue;
    EXIT WHEN v_unsure IS FALSE;  -- separate from the call below: an expression with a call takes a snapshot
    IF v_queue IS NULL THEN
      PERFORM penstock.make_queue(p_queue);
    ELSIF penstock.keep_queue(v_queue) THEN
      EXIT;
    END IF;
  END LOOP;
  IF v_due > v_now THEN
    INSERT INTO penstock.job (ord, due_at, ready_at, created_at, queue, priority, max_attempts, reason, task, headers, args)
    VALUES (NULL, v_due, NULL, v_now, v_queue, coalesce(p_priority, 1::smallint), v_attempts, 'scheduled', p_task, p_headers, p_args)
    RETURNING job.id INTO v_id;
    RETURN v_id;
  END IF;
  INSERT INTO penstock.job (ord, ready_at, created_at, queue, priority, max_attempts, task, headers, args)
  VALUES (nextval('penstock.job_ord_seq'), v_now, v_now, v_queue, coalesce(p_priority, 1::smallint), v_attempts, p_task, p_headers,
          p_args)
  RETURNING job.id INTO v_id;
  IF v_waiting OR v_blind THEN
    PERFORM penstock.wake(ARRAY[v_queue]);
  END IF;
  RETURN v_id;
END $$;
