-- Used by Schedules.run. See functions/run_schedule.sql.
SELECT penstock.run_schedule(%s::text, %s::text)
