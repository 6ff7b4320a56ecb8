-- Used by Schedules.due. See functions/schedule_due.sql.
SELECT id, queue, name, task, spec, zone, starts_at, ends_at, jitter, missed, missed_limit, generation, next_at, now
FROM penstock.schedule_due(%s::integer)
