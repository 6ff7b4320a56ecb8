-- Used by Queues.set_limit. See functions/set_limit.sql.
SELECT penstock.set_limit(%s::integer, %s::integer)
