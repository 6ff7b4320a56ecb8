-- Used by Schedules.declare. See functions/declare_schedules.sql.
SELECT schedule, verdict FROM penstock.declare_schedules(%s::text, %s::text, %s::jsonb)
