-- Purpose: whether a job of the schedule is live: of an earlier tick, or one that a person ran.
-- Index: schedule_tick_open, job's key. Locks: none.
CREATE OR REPLACE FUNCTION penstock.schedule_busy(p_schedule bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM penstock.schedule_tick AS t JOIN penstock.job AS j ON j.id = t.job
                 WHERE t.schedule = p_schedule AND t.state = 'enqueued')
$$;
