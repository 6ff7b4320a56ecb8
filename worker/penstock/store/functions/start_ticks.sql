-- Purpose: enqueue the jobs of ticks that are due; the caller has locked the schedules. Of the ticks that wait for an earlier
-- job, the first is due once no job of its schedule is live; the newest wait, as many as the policy for missed ticks allows. A
-- job carries its schedule and tick as headers, and the login of the person who ran it. Returns the schedules and their numbers
-- of jobs.
-- Index: schedule_tick_open. Locks: as enqueue_many.
CREATE OR REPLACE FUNCTION penstock.start_ticks(p_ids bigint[]) RETURNS TABLE (schedule bigint, jobs integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_of bigint[]; v_ticks timestamptz[]; v_manual boolean[]; v_queues text[]; v_tasks text[]; v_args jsonb[]; v_headers jsonb[];
  v_priorities smallint[]; v_attempts smallint[]; v_jobs bigint[];
BEGIN
  UPDATE penstock.schedule_tick AS t SET state = 'overlapped'
  FROM (SELECT w.schedule, w.tick, row_number() OVER (PARTITION BY w.schedule ORDER BY w.tick DESC) AS back
        FROM penstock.schedule_tick AS w WHERE w.schedule = ANY (p_ids) AND w.state = 'waiting') AS w
    JOIN penstock.schedule AS s ON s.id = w.schedule
  WHERE t.schedule = w.schedule AND t.tick = w.tick AND t.state = 'waiting' AND NOT t.manual
    AND w.back > CASE s.missed WHEN 'All' THEN s.missed_limit ELSE 1 END;
  UPDATE penstock.schedule_tick AS t SET state = 'due'
  FROM (SELECT w.schedule, min(w.tick) AS tick FROM penstock.schedule_tick AS w
        WHERE w.schedule = ANY (p_ids) AND w.state = 'waiting' GROUP BY w.schedule) AS w
  WHERE t.schedule = w.schedule AND t.tick = w.tick AND t.state = 'waiting' AND NOT penstock.schedule_busy(t.schedule);
  SELECT array_agg(d.schedule), array_agg(d.tick), array_agg(d.manual), array_agg(d.queue), array_agg(d.task), array_agg(d.args),
         array_agg(d.headers), array_agg(d.priority), array_agg(d.max_attempts)
  INTO v_of, v_ticks, v_manual, v_queues, v_tasks, v_args, v_headers, v_priorities, v_attempts
  FROM (SELECT t.schedule, t.tick, t.manual, s.queue, s.task, s.args, s.priority, s.max_attempts, jsonb_build_object(
               'penstock-schedule', s.name, 'penstock-tick', to_char(t.tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
               || CASE WHEN t.manual THEN jsonb_build_object('penstock-run-by', session_user) ELSE '{}' END AS headers
        FROM penstock.schedule_tick AS t JOIN penstock.schedule AS s ON s.id = t.schedule
        WHERE t.schedule = ANY (p_ids) AND t.state = 'due' ORDER BY t.tick, t.schedule) AS d;
  IF v_of IS NULL THEN
    RETURN;
  END IF;
  v_jobs := penstock.enqueue_many(v_queues, v_tasks, v_args, v_priorities, v_attempts, NULL, NULL, v_headers);
  UPDATE penstock.schedule_tick AS t SET state = 'enqueued', job = d.job
  FROM unnest(v_of, v_ticks, v_manual, v_jobs) AS d (schedule, tick, manual, job)
  WHERE t.schedule = d.schedule AND t.tick = d.tick AND t.manual = d.manual;
  RETURN QUERY
    UPDATE penstock.schedule AS s SET last_job = d.last, fired = s.fired + d.jobs
    FROM (SELECT u.schedule, max(u.job) AS last, count(*)::integer AS jobs FROM unnest(v_of, v_jobs) AS u (schedule, job) GROUP BY u.schedule) AS d
    WHERE s.id = d.schedule RETURNING s.id, d.jobs;
END $$;
