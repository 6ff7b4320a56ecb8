-- Used by Queues.mark_waiting. See functions/wait_mark.sql.
SELECT penstock.wait_mark(%s::integer[], %s::double precision, %s::boolean)
