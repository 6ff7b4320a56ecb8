-- Used by Schedules.settle. See functions/settle_schedules.sql.
SELECT settled, still_open FROM penstock.settle_schedules(%s::integer)
