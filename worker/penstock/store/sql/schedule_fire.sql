-- Used by Schedules.fire. See functions/schedule_fire.sql.
SELECT id, fired
FROM penstock.schedule_fire(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::timestamptz[])
