-- Purpose: whether a job of the schedule is live: of an earlier tick, or one that a person ran.
-- Index: schedule_tick_open, job's key: by a scalar subquery, which no plan turns into a join with the whole table. Locks: none.
CREATE OR REPLACE FUNCTION penstock.schedule_busy(p_schedule bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM penstock.schedule_tick AS t WHERE t.schedule = p_schedule AND t.state = 'enqueued'
                   AND (SELECT j.id FROM penstock.job AS j WHERE j.id = t.job) IS NOT NULL)
$$;
