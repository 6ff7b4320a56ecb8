-- Used by Queues.pause. See functions/pause.sql.
SELECT penstock.pause(%s::text, %s::boolean)
