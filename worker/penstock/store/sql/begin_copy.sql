-- Used by copying. See functions/begin_copy.sql.
SELECT ids, queues, max_attempts FROM penstock.begin_copy(%s::text[], %s::integer)
