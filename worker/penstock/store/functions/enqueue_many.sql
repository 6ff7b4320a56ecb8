-- Purpose: enqueue jobs in the caller's transaction; returns ids in the order of the arrays. A NULL array means the default for
-- all. Priority 0..3, lower first. A delay is in seconds from now, at most ten years; a time is before the year 9999, because
-- some languages cannot read later ones. Jobs with a unique key go one by one through enqueue_unique, by key and queue, which
-- keeps two bulk enqueues from a deadlock; a single job without a key goes through enqueue. Arguments: at most 256 KiB.
-- Index: queue(name), job's own three. Locks: as have_queues; the holders of expired keys.
CREATE OR REPLACE FUNCTION penstock.enqueue_many(
  p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[] DEFAULT NULL,
  p_max_attempts smallint[] DEFAULT NULL, p_delays double precision[] DEFAULT NULL,
  p_ats timestamptz[] DEFAULT NULL, p_headers jsonb[] DEFAULT NULL, p_unique_keys text[] DEFAULT NULL,
  p_until_start boolean[] DEFAULT NULL, p_unique_seconds double precision[] DEFAULT NULL,
  p_refuse boolean[] DEFAULT NULL
) RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_now timestamptz := clock_timestamp(); v_total integer := coalesce(cardinality(p_tasks), 0);
  v_lengths integer[] := ARRAY[coalesce(cardinality(p_queues), 0), coalesce(cardinality(p_args), 0), cardinality(p_priorities),
    cardinality(p_max_attempts), cardinality(p_delays), cardinality(p_ats), cardinality(p_headers), cardinality(p_unique_keys),
    cardinality(p_until_start), cardinality(p_unique_seconds), cardinality(p_refuse)];
  v_ids bigint[]; v_woken integer[]; v_n integer; v_xid xid8;
BEGIN
  IF v_total <> ANY (v_lengths) THEN
    RAISE EXCEPTION 'enqueue: every array must have as many elements as tasks (%), got %', v_total, v_lengths USING ERRCODE = '22023';
  ELSIF v_total = 1 AND p_unique_keys IS NULL THEN
    RETURN ARRAY[penstock.enqueue(p_queues[1], p_tasks[1], p_args[1], p_priorities[1], p_max_attempts[1], p_delays[1],
      p_ats[1], p_headers[1])];
  ELSIF p_unique_keys IS NOT NULL AND current_setting('array_nulls') = 'off' THEN
    RAISE EXCEPTION 'enqueue: unique keys need array_nulls, which is off in this session; run SET array_nulls = on' USING ERRCODE = '22023';
  ELSIF 316224000 < ANY (p_delays) OR '9999-01-01Z' <= ANY (p_ats) THEN
    RAISE EXCEPTION 'enqueue: delay must be at most ten years, and at must be before the year 9999' USING ERRCODE = '22008';
  END IF;
  v_n := coalesce(penstock.check_size('arguments', p_args), 0) + coalesce(penstock.check_size('headers', p_headers), 0);
  v_xid := pg_current_xact_id();  -- before any ord is drawn
  PERFORM penstock.have_queues(p_queues);
  v_ids := ARRAY(SELECT nextval('penstock.job_id_seq') FROM generate_series(1, v_total));
  WITH new AS (
    SELECT v_ids[a.n] AS id, q.id AS queue, a.task, a.args, a.headers, coalesce(a.priority, 1::smallint) AS priority,
           coalesce(a.max_attempts, q.max_attempts) AS max_attempts,
           coalesce(a.due, v_now + make_interval(secs => a.delay), v_now) AS due
    FROM unnest(p_queues, p_tasks, p_args, p_priorities, p_max_attempts, p_delays, p_ats, p_headers) WITH ORDINALITY
         AS a (queue, task, args, priority, max_attempts, delay, due, headers, n) JOIN penstock.queue AS q ON q.name = a.queue
    WHERE p_unique_keys IS NULL OR p_unique_keys[a.n] IS NULL ORDER BY a.n
  ), inserted AS (
    INSERT INTO penstock.job (id, ord, due_at, ready_at, created_at, queue, priority, max_attempts, reason, task, headers, args)
    SELECT id, CASE WHEN due <= v_now THEN nextval('penstock.job_ord_seq') END, CASE WHEN due > v_now THEN due END,
           CASE WHEN due <= v_now THEN v_now END, v_now, queue, priority, max_attempts, CASE WHEN due > v_now THEN 'scheduled' END,
           task, headers, args FROM new RETURNING queue, ord
  )
  SELECT array_agg(DISTINCT queue) INTO v_woken FROM inserted WHERE ord IS NOT NULL;
  PERFORM penstock.wake(v_woken);
  IF p_unique_keys IS NULL THEN RETURN v_ids; END IF;
  PERFORM penstock.expire_keys(p_queues, p_unique_keys);
  FOR v_n IN SELECT k.n FROM unnest(p_unique_keys) WITH ORDINALITY AS k (key, n) WHERE k.key IS NOT NULL
    ORDER BY k.key, p_queues[k.n], k.n
  LOOP
    v_ids[v_n] := penstock.enqueue_unique(
      v_ids[v_n], p_queues[v_n], p_tasks[v_n], p_args[v_n], p_priorities[v_n], p_max_attempts[v_n], p_delays[v_n],
      p_ats[v_n], p_headers[v_n], p_unique_keys[v_n], p_until_start[v_n], p_unique_seconds[v_n], p_refuse[v_n]);
  END LOOP;
  RETURN v_ids;
END $$;
