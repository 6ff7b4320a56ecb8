-- Used by Schedules.prune. See functions/prune_ticks.sql.
SELECT penstock.prune_ticks(%s::integer)
