-- Used by Schedules.pause. See functions/pause_schedule.sql.
SELECT present, done
FROM penstock.pause_schedule(%s::text, %s::text, %s::boolean, %s::bigint, %s::timestamptz)
