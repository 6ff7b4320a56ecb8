-- Used by Schedules.failed. See functions/schedule_failed.sql.
SELECT penstock.schedule_failed(%s::bigint, %s::bigint, %s::text)
