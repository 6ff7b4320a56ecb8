-- Used by Reader.schedules. See functions/list_schedules.sql.
SELECT id, queue, name, source, generation, spec, zone, starts_at, ends_at, jitter, lead_seconds, task, missed, missed_limit, overlap,
       paused, suspended, paused_at, paused_by, next_at, last_tick, last_job, fired, last_success_at, late, last_error, waiting, busy, now
FROM penstock.list_schedules(NULL)
